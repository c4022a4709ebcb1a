// Amazon Bedrock: Converse and its binary event stream, and Anthropic's own format by InvokeModel. Every call must be signed
// or carry a key; turns alternate and begin with the user, and every result answers a call of the turn before.

import { anthropic } from './anthropic.ts'
import { awsMessage } from './aws-events.ts'
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
  signatureOf,
  tokensIn,
  usageOf,
  wholeText,
} from './reply.ts'
import type { Event } from './wire.ts'

export const AWS_STREAM = 'application/vnd.amazon.eventstream'
const EXCEPTIONS: Record<number, string> = {
  400: 'ValidationException',
  403: 'AccessDeniedException',
  404: 'ResourceNotFoundException',
  408: 'ModelTimeoutException',
  429: 'ThrottlingException',
  503: 'ServiceUnavailableException',
}

export const bedrock: Dialect = {
  answer(call) {
    if (!/^(?:Bearer|AWS4-HMAC-SHA256) /.test(call.headers.authorization ?? '')) throw new Refusal(403, 'Missing Token')
    return call.operation.startsWith('invoke') ? invoked(call) : converse(call)
  },
  error: (status, { message, code }) => ({ __type: code ?? EXCEPTIONS[status] ?? 'InternalServerException', message }),
  errorEvent(_status, { message }) {
    return { data: awsMessage('exception', 'modelStreamErrorException', JSON.stringify({ message })) }
  },
  headers: (id) => ({ 'x-amzn-requestid': `req_${id}` }),
}

const STOP_REASONS: Record<string, string> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  content_filter: 'content_filtered',
}

/** Each event of Anthropic's travels as a chunk; the model and what is asked for stand in the path. */
function invoked(call: Call): Answer {
  const { anthropic_version, anthropic_beta: _, ...document } = call.document
  if (anthropic_version !== 'bedrock-2023-05-31') throw new Refusal(400, 'anthropic_version: Field required')
  for (const name of ['model', 'stream']) {
    if (name in document) throw new Refusal(400, `${name}: Extra inputs are not permitted`)
  }
  const headers = { ...call.headers, 'x-api-key': 'signed', 'anthropic-version': anthropic_version }
  const answer = anthropic.answer({
    ...call,
    operation: 'messages',
    document: { ...document, model: call.model },
    headers,
  })
  if (!call.stream) return answer
  return { ...answer, contentType: AWS_STREAM, events: chunks(answer.events) }
}

function* chunks(events: Iterable<Event>): Iterable<Event> {
  for (const event of events) {
    const bytes = Buffer.from(JSON.stringify(event.data)).toString('base64')
    yield { ...event, data: awsMessage('event', 'chunk', JSON.stringify({ bytes })) }
  }
}

function checkedTurns(document: Doc): Doc[] {
  const turns = list(document.messages).map(doc)
  if (turns.length === 0) throw new Refusal(400, 'messages: at least one message is required')
  let calls = new Set<string>()
  for (const [i, turn] of turns.entries()) {
    if (turn.role !== (i % 2 === 0 ? 'user' : 'assistant'))
      throw new Refusal(400, 'A conversation must alternate between user and assistant roles.')
    const blocks = list(turn.content).map(doc)
    if (blocks.length === 0 || blocks.some((block) => block.text !== undefined && str(block.text).trim() === ''))
      throw new Refusal(400, `messages.${i}: the text field in the ContentBlock object is blank.`)
    const results = blocks.flatMap((block) => str(doc(block.toolResult).toolUseId) || [])
    if (results.some((id) => !calls.has(id)) || results.length < calls.size)
      throw new Refusal(400, `messages.${i}: toolResult blocks do not answer the toolUse blocks before.`)
    calls = new Set(turn.role === 'assistant' ? blocks.flatMap((block) => str(doc(block.toolUse).toolUseId) || []) : [])
  }
  return turns
}

function textOf(block: Doc): string {
  if (block.text !== undefined) return str(block.text)
  return list(doc(block.toolResult).content)
    .map((item) => str(doc(item).text) || (doc(item).json === undefined ? '' : JSON.stringify(doc(item).json)))
    .join(' ')
}

function charactersOf(blocks: unknown): number {
  return list(blocks)
    .map(doc)
    .reduce((sum, block) => {
      if (block.toolUse !== undefined) return sum + JSON.stringify(doc(block.toolUse).input ?? {}).length
      return sum + (block.image || block.document || block.video ? NON_TEXT : textOf(block).length)
    }, 0)
}

function converse(call: Call): Answer {
  const { document, b, id } = call
  const turns = checkedTurns(document)
  const { tools, toolChoice } = doc(document.toolConfig)
  const inference = doc(document.inferenceConfig)
  const extra = doc(document.additionalModelRequestFields)
  const choice = doc(toolChoice)
  const last = list(turns.at(-1)?.content).map(doc)
  const asked: Asked = {
    last: last.map(textOf).filter(Boolean).join(' '),
    tools: list(tools)
      .map((tool) => doc(doc(tool).toolSpec))
      .filter(({ name }) => name !== undefined)
      .map(({ name, inputSchema }) => ({ name: str(name), schema: doc(inputSchema).json })),
    choice: choice.tool ? { name: str(doc(choice.tool).name) } : choice.any ? 'required' : 'auto',
    parallel: true,
    maxTokens: whole(inference.maxTokens),
    stop: list(inference.stopSequences).map(str),
    reasoning: extra.thinking !== undefined || extra.reasoningConfig !== undefined,
  }
  const said = say(asked, b)
  const characters =
    charactersOf(document.system) +
    (tools === undefined ? 0 : JSON.stringify(tools).length) +
    turns.reduce((sum, { content }) => sum + charactersOf(content), 0)
  const usage = usageOf(b, tokensIn(characters), said.tokens, { reasoning: said.reasoningTokens })
  const told = {
    inputTokens: usage.said.input,
    outputTokens: usage.said.output,
    totalTokens: usage.said.total,
    cacheReadInputTokens: usage.said.other(usage.cacheRead),
    cacheWriteInputTokens: usage.said.other(usage.cacheWrite),
  }
  const counted = b['no-usage'] ? {} : { usage: told }
  const stopReason = said.stopSequence === undefined ? (STOP_REASONS[said.finish] ?? said.finish) : 'stop_sequence'
  const toolUseId = (at: number) => `tooluse_${id}_${at}`
  const text = wholeText(said, b)
  const signature = signatureOf(said.reasoning)

  if (!call.stream) {
    const content = [
      ...(said.reasoning === '' ? [] : [{ reasoningContent: { reasoningText: { text: said.reasoning, signature } } }]),
      ...(text === '' && said.calls.length > 0 ? [] : [{ text }]),
      ...said.calls.map(({ name, args }, at) => ({
        toolUse: { toolUseId: toolUseId(at), name, input: JSON.parse(args) },
      })),
    ]
    const data = {
      output: { message: { role: 'assistant', content } },
      stopReason,
      metrics: { latencyMs: 1 },
      ...counted,
    }
    return { framing: 'body', events: [{ data, tokens: usage.counted, content: true }], usage }
  }

  const event = (type: string, payload: Doc, more: Partial<Event> = {}): Event => ({
    data: awsMessage('event', type, JSON.stringify({ ...payload, p: 'abcdefgh'.slice(0, type.length % 8) })),
    ...more,
  })
  function* events(): Iterable<Event> {
    let contentBlockIndex = 0
    const delta = (change: Doc, tokens: number): Event =>
      event('contentBlockDelta', { contentBlockIndex, delta: change }, { tokens, content: true })
    const stop = (): Event => event('contentBlockStop', { contentBlockIndex: contentBlockIndex++ })
    yield event('messageStart', { role: 'assistant' })
    if (said.reasoning !== '') {
      const count = meter()
      for (const piece of piecesOf(said.reasoning, {}))
        yield delta({ reasoningContent: { text: piece } }, count(piece.length))
      yield delta({ reasoningContent: { signature } }, 0)
      yield stop()
    }
    const count = meter()
    if (text !== '') {
      for (const piece of piecesOf(said.text, b)) yield delta({ text: piece }, piece === FILL ? 0 : count(piece.length))
      yield stop()
    }
    for (const [at, { name, args }] of said.calls.entries()) {
      const start = { toolUse: { toolUseId: toolUseId(at), name } }
      yield event('contentBlockStart', { contentBlockIndex, start }, { content: true })
      for (const piece of argumentPieces(args)) yield delta({ toolUse: { input: piece } }, count(piece.length))
      yield stop()
    }
    yield event('messageStop', { stopReason }, { terminal: b['no-usage'] === true })
    if (!b['no-usage'])
      yield event('metadata', { usage: told, metrics: { latencyMs: 1 } }, { usage: true, terminal: true })
  }
  return { framing: 'sse', contentType: AWS_STREAM, events: events(), usage }
}
