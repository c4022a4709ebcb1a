/** One gateway for all tests of a file, with upstreams of every family. */
import { after, before } from 'node:test'
import { type Running, runGateway } from '../running/index.ts'

export const MODELS = [
  { family: 'OpenAI', model: 'openai/gpt-4o-mini' },
  { family: 'Anthropic', model: 'anthropic/claude-sonnet-4-5' },
  { family: 'Gemini', model: 'gemini/gemini-2.5-flash' },
  { family: 'Bedrock', model: 'bedrock/amazon.nova-pro-v1:0' },
  { family: 'Anthropic on Bedrock', model: 'bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0' },
  { family: 'Cohere', model: 'cohere/command-a-03-2025' },
] as const

const FAMILIES = { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini', bedrock: 'bedrock', cohere: 'cohere' }

export function gatewayForAll(): () => Running {
  let gateway: Running
  const cleanups: (() => unknown)[] = []
  before(async () => {
    const context = { after: (work: () => unknown) => cleanups.push(work) } as unknown as Parameters<
      typeof runGateway
    >[0]
    gateway = await runGateway(context, { upstreams: FAMILIES })
  })
  after(async () => {
    for (const work of cleanups) await work()
  })
  return () => gateway
}
