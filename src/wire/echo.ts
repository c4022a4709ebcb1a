/**
 * The built-in model `mock/echo`: an upstream inside the program, so that a first request is answered on any machine and
 * without a key. It speaks OpenAI Chat and Embeddings, repeats what it was told, and never opens a connection.
 */
import type { Egress, IncomingReply, OutgoingCall } from '../core/egress.ts'
import { failure } from '../core/errors.ts'

/** Calls to `builtin:echo…` are answered here, all others by the given egress. */
export function withEcho(egress: Egress): Egress {
  return {
    send: (call) => (call.url.startsWith('builtin:echo') ? Promise.resolve(echo(call)) : egress.send(call)),
    close: () => egress.close(),
  }
}

interface Asked {
  readonly model?: string
  readonly messages?: readonly { readonly role?: string; readonly content?: unknown }[]
  readonly input?: string | readonly unknown[]
  readonly stream?: boolean
  readonly stream_options?: { readonly include_usage?: boolean }
}

const tokens = (text: string): number => Math.ceil(Buffer.byteLength(text) / 4)

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part: { text?: unknown }) => (typeof part?.text === 'string' ? part.text : '')).join('')
}

function echo(call: OutgoingCall): IncomingReply {
  const body = Buffer.isBuffer(call.body) ? call.body : Buffer.concat(call.body ?? [])
  const asked = JSON.parse(body.toString()) as Asked
  if (call.url.endsWith('/embeddings')) return reply('application/json', [JSON.stringify(embeddings(asked))], call)
  const said = asked.messages ?? []
  const text = `You said: ${textOf(said.findLast((m) => m.role === 'user')?.content)}`
  const usage = {
    prompt_tokens: said.reduce((n, m) => n + tokens(textOf(m.content)), 0),
    completion_tokens: tokens(text),
  }
  const total = { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens }
  const base = { id: 'chatcmpl-echo', created: Math.floor(Date.now() / 1_000), model: asked.model ?? 'echo' }
  if (!asked.stream) {
    const message = { role: 'assistant', content: text, refusal: null }
    const choices = [{ index: 0, message, logprobs: null, finish_reason: 'stop' }]
    return reply(
      'application/json',
      [JSON.stringify({ ...base, object: 'chat.completion', choices, usage: total })],
      call,
    )
  }
  const chunk = (choices: object[], more: object = {}): string =>
    `data: ${JSON.stringify({ ...base, object: 'chat.completion.chunk', choices, ...more })}\n\n`
  const delta = (part: object, finish: string | null = null) => [{ index: 0, delta: part, finish_reason: finish }]
  const words = text.match(/\S+\s*/g) ?? []
  const events = [
    chunk(delta({ role: 'assistant', content: '' })),
    ...words.map((word) => chunk(delta({ content: word }))),
    chunk(delta({}, 'stop')),
    ...(asked.stream_options?.include_usage ? [chunk([], { usage: total })] : []),
    'data: [DONE]\n\n',
  ]
  return reply('text/event-stream', events, call)
}

function embeddings(asked: Asked): object {
  const inputs = Array.isArray(asked.input) ? asked.input : [asked.input ?? '']
  const data = inputs.map((input, index) => {
    const text = typeof input === 'string' ? input : JSON.stringify(input)
    const embedding = Array.from({ length: 8 }, (_, i) => ((text.charCodeAt(i % (text.length || 1)) || 0) % 97) / 97)
    return { object: 'embedding', index, embedding }
  })
  const used = inputs.reduce<number>((n, input) => n + tokens(typeof input === 'string' ? input : '0000'), 0)
  return { object: 'list', data, model: asked.model ?? 'echo', usage: { prompt_tokens: used, total_tokens: used } }
}

function reply(type: string, parts: readonly string[], call: OutgoingCall): IncomingReply {
  let over = false
  const chunks = async function* (): AsyncGenerator<Buffer> {
    for (const part of parts) {
      if (over || call.signal.aborted) throw failure('client_closed')
      yield Buffer.from(part)
    }
  }
  return {
    status: 200,
    headers: { 'content-type': type },
    chunks: chunks(),
    collect: async () => Buffer.from(parts.join('')),
    discard: () => {},
    abort: () => {
      over = true
    },
  }
}
