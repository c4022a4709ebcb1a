// Cohere's own API, version 2: chat with plans before its calls, and embeddings. It knows no field that it does not name.

import { type Doc, doc, list, str, whole } from './json.ts'
import {
  type Answer,
  type Asked,
  argumentPieces,
  type Call,
  type Dialect,
  FILL,
  meter,
  NON_TEXT,
  piecesOf,
  Refusal,
  say,
  tokensIn,
  usageOf,
  vectorOf,
  wholeText,
} from './reply.ts'
import type { Event } from './wire.ts'

export const cohere: Dialect = {
  answer(call) {
    if (!call.headers.authorization) throw new Refusal(401, 'no api key supplied')
    return call.operation === 'embed' ? embed(call) : chat(call)
  },
  error: (_status, { message, requestId }) => ({ id: requestId, message }),
  errorEvent: (_status, { message }) => ({
    name: 'message-end',
    data: { type: 'message-end', delta: { finish_reason: 'ERROR', error: message } },
  }),
  headers: (id) => ({ 'x-debug-trace-id': id }),
}

const FIELDS = new Set(
  'model messages stream tools tool_choice strict_tools response_format documents citation_options safety_mode max_tokens stop_sequences temperature seed frequency_penalty presence_penalty k p logprobs thinking priority'.split(
    ' ',
  ),
)
const FINISH: Record<string, string> = { stop: 'COMPLETE', length: 'MAX_TOKENS', tool_calls: 'TOOL_CALL' }
const PLAN = 'I will call what was asked for.'

const textOf = (content: unknown): string =>
  typeof content === 'string'
    ? content
    : list(content)
        .map((part) => str(doc(part).text))
        .filter(Boolean)
        .join(' ')

function charactersOf({ content, tool_calls }: Doc): number {
  const parts = typeof content === 'string' ? [] : list(content).map(doc)
  const others = parts.filter(({ type }) => type === 'image_url').length * NON_TEXT
  return textOf(content).length + others + (tool_calls === undefined ? 0 : JSON.stringify(tool_calls).length)
}

function chat(call: Call): Answer {
  const { document, b, id } = call
  for (const name of Object.keys(document)) {
    if (!FIELDS.has(name)) throw new Refusal(422, `unknown field: parameter '${name}' is not a valid field`)
  }
  const messages = list(document.messages).map(doc)
  if (messages.length === 0) throw new Refusal(400, 'invalid request: messages must not be empty')
  let results = 0
  while (messages.at(-1 - results)?.role === 'tool') results++
  const format = doc(document.response_format)
  const asked: Asked = {
    last: (results > 0 ? messages.slice(-results) : messages.slice(-1)).map(({ content }) => textOf(content)).join(' '),
    tools: list(document.tools)
      .map((tool) => doc(doc(tool).function))
      .map(({ name, parameters }) => ({ name: str(name), schema: parameters })),
    choice: document.tool_choice === 'REQUIRED' ? 'required' : document.tool_choice === 'NONE' ? 'none' : 'auto',
    parallel: true,
    schema: format.type === 'json_object' ? (format.json_schema ?? true) : undefined,
    maxTokens: whole(document.max_tokens),
    stop: list(document.stop_sequences).map(str),
    reasoning: doc(document.thinking).type === 'enabled',
  }
  const said = say(asked, b)
  const characters =
    messages.reduce((sum, message) => sum + charactersOf(message), 0) +
    (document.tools === undefined ? 0 : JSON.stringify(document.tools).length)
  const usage = usageOf(b, tokensIn(characters), said.tokens, { reasoning: said.reasoningTokens })
  const counts = { input_tokens: usage.said.input, output_tokens: usage.said.output }
  // The template around the messages is counted, and not billed.
  const told = { billed_units: counts, tokens: { ...counts, input_tokens: usage.input + 68 } }
  const ending = {
    finish_reason: said.stopSequence === undefined ? (FINISH[said.finish] ?? said.finish) : 'STOP_SEQUENCE',
    ...(b['no-usage'] ? {} : { usage: told }),
  }
  const text = wholeText(said, b)
  const callOf = (at: number, args: string) => ({
    id: `${said.calls[at]?.name}_${id}_${at}`,
    type: 'function',
    function: { name: said.calls[at]?.name, arguments: args },
  })

  if (!call.stream) {
    const content = [
      ...(said.reasoning === '' ? [] : [{ type: 'thinking', thinking: said.reasoning }]),
      ...(text === '' ? [] : [{ type: 'text', text }]),
    ]
    const calls = said.calls.map(({ args }, at) => callOf(at, args))
    const plans = calls.length > 0 ? { tool_plan: PLAN, tool_calls: calls } : {}
    const message = { role: 'assistant', ...(content.length > 0 ? { content } : {}), ...plans }
    const data = { id, message, ...ending }
    return { framing: 'body', events: [{ data, tokens: usage.counted, content: true }], usage }
  }

  const event = (type: string, rest: Doc, more: Partial<Event> = {}): Event => ({
    name: type,
    data: { type, ...rest },
    ...more,
  })
  function* block(index: number, type: 'text' | 'thinking', pieces: Iterable<string>): Iterable<Event> {
    const count = meter()
    yield event('content-start', { index, delta: { message: { content: { type, [type]: '' } } } })
    for (const piece of pieces) {
      const tokens = piece === FILL ? 0 : count(piece.length)
      yield event(
        'content-delta',
        { index, delta: { message: { content: { [type]: piece } } } },
        { tokens, content: true },
      )
    }
    yield event('content-end', { index })
  }
  function* events(): Iterable<Event> {
    yield event('message-start', {
      id,
      delta: { message: { role: 'assistant', content: [], tool_plan: '', tool_calls: [] } },
    })
    let index = 0
    if (said.reasoning !== '') yield* block(index++, 'thinking', piecesOf(said.reasoning, {}))
    if (text !== '') yield* block(index++, 'text', piecesOf(said.text, b))
    if (said.calls.length > 0) {
      for (const tool_plan of piecesOf(PLAN, {})) yield event('tool-plan-delta', { delta: { message: { tool_plan } } })
    }
    for (const [at, { args }] of said.calls.entries()) {
      const count = meter()
      yield event(
        'tool-call-start',
        { index: at, delta: { message: { tool_calls: callOf(at, '') } } },
        { content: true },
      )
      for (const piece of argumentPieces(args)) {
        const change = { message: { tool_calls: { function: { arguments: piece } } } }
        yield event('tool-call-delta', { index: at, delta: change }, { tokens: count(piece.length), content: true })
      }
      yield event('tool-call-end', { index: at })
    }
    yield event('message-end', { delta: ending }, { usage: true, terminal: true })
  }
  return { framing: 'sse', events: events(), usage }
}

function embed({ document, id, b }: Call): Answer {
  const inputs = list(document.inputs).flatMap((input) => list(doc(input).content).map((part) => str(doc(part).text)))
  const texts = document.texts === undefined ? inputs : list(document.texts).map(str)
  if (texts.length === 0) throw new Refusal(400, 'invalid request: at least one text is required')
  const dimensions = whole(document.output_dimension) ?? 1_536
  const usage = usageOf(b, tokensIn(texts.join('').length), 0)
  const float = texts.map((text) => [...vectorOf(text, dimensions)])
  const meta = { api_version: { version: '2' }, billed_units: { input_tokens: usage.said.input } }
  return { framing: 'body', events: [{ data: { id, embeddings: { float }, texts, meta }, content: true }], usage }
}
