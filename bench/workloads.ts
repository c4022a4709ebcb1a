/**
 * What is asked and answered in every measurement: prompts of about 1 KB and 60 KB, one unstreamed reply of 1.2 KB, and
 * one stream of 100 text deltas. The same bytes go to every target. How fast the upstream streams is asked for in the
 * prompt, since prompts are what every gateway hands on untouched.
 */
export type WorkloadId = 'chat' | 'chat60k' | 'stream' | 'stream20' | 'stream50'

export const DELTAS = 100
/** Role, deltas, finish, usage and [DONE]. */
export const EVENTS = DELTAS + 4
/** The event that brings the first text; the one before names the role. */
export const FIRST_CONTENT_EVENT = 2
export const LAST_CONTENT_EVENT = DELTAS + 1
export const CHAT_PATH = '/v1/chat/completions'

export const MODEL = 'gpt-4o-mini'
const FILLER = 'The quick brown fox counts every token that it jumps over, and writes the sum into the ledger. '

const fill = (chars: number): string => FILLER.repeat(Math.ceil(chars / FILLER.length)).slice(0, chars)

const system = { role: 'system', content: `You answer briefly. ${fill(330)}` }

function longConversation(): object[] {
  const messages: object[] = [system]
  for (let turn = 0; turn < 40; turn++) {
    const role = turn % 2 === 0 ? 'user' : 'assistant'
    messages.push({ role, content: `Turn ${turn}: "quoted"\n\tçà et là – ${fill(1_400)}` })
  }
  return messages
}

function request(fields: object, messages: object[]): Buffer {
  return Buffer.from(JSON.stringify({ model: MODEL, ...fields, temperature: 0.2, max_tokens: 512, messages }))
}

const streamed = (pace: string): Buffer =>
  request({ stream: true, stream_options: { include_usage: true } }, [
    system,
    { role: 'user', content: `${pace}: ${fill(400)}` },
  ])

export const PACES = [
  { marker: Buffer.from('paced at 20 ms'), paceMs: 20 },
  { marker: Buffer.from('paced at 50 ms'), paceMs: 50 },
] as const

export const requestBodies: Readonly<Record<WorkloadId, Buffer>> = {
  chat: request({}, [system, { role: 'user', content: fill(500) }]),
  chat60k: request({}, longConversation()),
  stream: streamed('not paced'),
  stream20: streamed(PACES[0].marker.toString()),
  stream50: streamed(PACES[1].marker.toString()),
}

export const isStreamed = (id: WorkloadId): boolean => id.startsWith('stream')

const usage = { prompt_tokens: 212, completion_tokens: DELTAS, total_tokens: 212 + DELTAS }
const common = { id: 'chatcmpl-bench0123456789abcdefghij', created: 1_767_225_600, model: 'gpt-4o-mini-2024-07-18' }

export const replyText = fill(780)
export const replyBody = Buffer.from(
  JSON.stringify({
    ...common,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: replyText, refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage,
    service_tier: 'default',
    system_fingerprint: 'fp_0123456789',
  }),
)

const deltas = Array.from({ length: DELTAS }, (_, n) => ` word${n}`)
export const streamText = deltas.join('')

const event = (fields: object): string =>
  `data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', service_tier: 'default', system_fingerprint: 'fp_0123456789', ...fields })}\n\n`

const choice = (delta: object, finish: string | null): object => ({
  choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  usage: null,
})

/** The stream as its server-sent events, one string each. */
export const streamEvents: readonly string[] = [
  event(choice({ role: 'assistant', content: '', refusal: null }, null)),
  ...deltas.map((content) => event(choice({ content }, null))),
  event(choice({}, 'stop')),
  event({ choices: [], usage }),
  'data: [DONE]\n\n',
]

/** The same reply and the same stream in Anthropic's format, for the target that translates. */
export const ANTHROPIC_PATH = '/v1/messages'
export const ANTHROPIC_MODEL = 'claude-haiku-4-5'

const message = {
  id: 'msg_bench0123456789abcdefghij',
  type: 'message',
  role: 'assistant',
  model: 'claude-haiku-4-5-20251001',
}
const counts = { cache_creation_input_tokens: 0, cache_read_input_tokens: 0, service_tier: 'standard' }
export const anthropicBody = Buffer.from(
  JSON.stringify({
    ...message,
    content: [{ type: 'text', text: replyText }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 212, output_tokens: DELTAS, ...counts },
  }),
)

const named = (data: { readonly type: string; readonly [field: string]: unknown }): string =>
  `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`
const delta = (text: string): string =>
  named({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })

/** In as many writes as the other stream has: what opens and what ends goes with its neighbor. */
export const anthropicEvents: readonly string[] = [
  named({
    type: 'message_start',
    message: {
      ...message,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { input_tokens: 212, output_tokens: 1, ...counts },
    },
  }) + named({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
  ...deltas.map(delta),
  named({ type: 'content_block_stop', index: 0 }),
  named({
    type: 'message_delta',
    delta: { stop_reason: 'end_turn', stop_sequence: null },
    usage: { output_tokens: DELTAS },
  }),
  named({ type: 'message_stop' }),
]
