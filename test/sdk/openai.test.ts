/** The official OpenAI SDK against a gateway in this process. */
import { after, before } from 'node:test'
import { type Running, runGateway } from '../running/index.ts'
import { openaiSuite } from './openai-suite.ts'

let gateway: Running
const cleanups: (() => unknown)[] = []
before(async () => {
  const context = { after: (work: () => unknown) => cleanups.push(work) } as unknown as Parameters<typeof runGateway>[0]
  gateway = await runGateway(context, { upstreams: { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' } })
})
after(async () => {
  for (const work of cleanups) await work()
})

openaiSuite(() => gateway.url)
