/** One gateway for all tests of a file, with upstreams of every family. */
import { after, before } from 'node:test'
import { type Running, runGateway } from '../running/index.ts'

export const MODELS = [
  { family: 'OpenAI', model: 'openai/gpt-4o-mini' },
  { family: 'Anthropic', model: 'anthropic/claude-sonnet-4-5' },
  { family: 'Gemini', model: 'gemini/gemini-2.5-flash' },
] as const

export function gatewayForAll(): () => Running {
  let gateway: Running
  const cleanups: (() => unknown)[] = []
  before(async () => {
    const context = { after: (work: () => unknown) => cleanups.push(work) } as unknown as Parameters<
      typeof runGateway
    >[0]
    gateway = await runGateway(context, { upstreams: { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' } })
  })
  after(async () => {
    for (const work of cleanups) await work()
  })
  return () => gateway
}
