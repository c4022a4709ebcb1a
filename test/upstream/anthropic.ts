// Anthropic's Messages API, as strict as the real one about what gateways get wrong: headers, `max_tokens`, fields
// that do not exist, roles, and tool results that answer no call.

import { createHash } from 'node:crypto'
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
  type Usage,
  usageOf,
  wholeText,
} from './reply.ts'
import type { Event } from './wire.ts'

const TYPES: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  500: 'api_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

export const anthropic: Dialect = {
  answer(call) {
    if (!call.headers['x-api-key'] && !call.headers.authorization)
      throw new Refusal(401, 'x-api-key header is required')
    if (!call.headers['anthropic-version']) throw new Refusal(400, 'anthropic-version: header is required')
    if (call.operation === 'models') return models(call)
    const messages = checkedMessages(call.document, call.operation)
    if (call.operation === 'count_tokens') {
      const usage = usageOf(call.b, tokensIn(promptCharacters(call.document, messages)), 0)
      return { framing: 'body', events: [{ data: { input_tokens: usage.said.input }, content: true }], usage }
    }
    return message(call, messages)
  },

  error(status, { message, type, code, requestId }) {
    const usual = TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
    return { type: 'error', error: { type: type ?? code ?? usual, message }, request_id: requestId }
  },

  errorEvent(status, parts) {
    return { name: 'error', data: anthropic.error(status === 500 ? 529 : status, parts) }
  },

  headers(id) {
    return {
      'request-id': `req_${id}`,
      'anthropic-organization-id': 'mock-organization',
      'anthropic-ratelimit-requests-limit': '4000',
      'anthropic-ratelimit-requests-remaining': '3999',
      'anthropic-ratelimit-requests-reset': '2025-06-15T15:06:41Z',
      'anthropic-ratelimit-input-tokens-limit': '2000000',
      'anthropic-ratelimit-input-tokens-remaining': '1999000',
      'anthropic-ratelimit-output-tokens-limit': '400000',
      'anthropic-ratelimit-output-tokens-remaining': '399000',
    }
  },
}

// --- checking -------------------------------------------------------------------------------------------------

const FIELDS = new Set(
  'model messages system tools tool_choice thinking output_config output_format cache_control max_tokens metadata stop_sequences stream temperature top_p top_k service_tier container context_management diagnostics mcp_servers inference_geo speed betas'.split(
    ' ',
  ),
)

function checkedMessages(document: Doc, operation: string): Doc[] {
  for (const name of Object.keys(document)) {
    if (!FIELDS.has(name)) throw new Refusal(400, `${name}: Extra inputs are not permitted`)
  }
  if (str(document.model) === '') throw new Refusal(400, 'model: Field required')
  if (operation === 'messages') {
    if (document.max_tokens === undefined) throw new Refusal(400, 'max_tokens: Field required')
    if ((whole(document.max_tokens) ?? 0) < 1) throw new Refusal(400, 'max_tokens: must be greater than or equal to 1')
    const budget = whole(doc(document.thinking).budget_tokens)
    if (budget !== undefined && budget >= (document.max_tokens as number)) {
      throw new Refusal(400, '`max_tokens` must be greater than `thinking.budget_tokens`.')
    }
  }
  const messages = list(document.messages).map(doc)
  if (messages.length === 0) throw new Refusal(400, 'messages: at least one message is required')
  let open = new Set<string>()
  for (const [i, { role, content }] of messages.entries()) {
    if (role !== 'user' && role !== 'assistant') {
      throw new Refusal(400, `messages.${i}.role: Input should be 'user' or 'assistant'`)
    }
    if (typeof content !== 'string' && !Array.isArray(content))
      throw new Refusal(400, `messages.${i}.content: Field required`)
    const blocks = list(content).map(doc)
    const results = new Set(
      blocks.filter((block) => block.type === 'tool_result').map((block) => str(block.tool_use_id)),
    )
    for (const id of results) {
      if (open.has(id)) continue
      throw new Refusal(
        400,
        `messages.${i}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`,
      )
    }
    for (const id of open) {
      if (results.has(id)) continue
      throw new Refusal(
        400,
        `messages.${i - 1}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${id}.`,
      )
    }
    for (const [at, block] of blocks.entries()) {
      if (block.type === 'text' && str(block.text) === '') {
        throw new Refusal(400, `messages.${i}.content.${at}.text: text content blocks must be non-empty`)
      }
    }
    open = new Set(
      role === 'assistant' ? blocks.filter((block) => block.type === 'tool_use').map((block) => str(block.id)) : [],
    )
  }
  if (open.size > 0) {
    throw new Refusal(
      400,
      `messages.${messages.length - 1}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after`,
    )
  }
  return messages
}

// --- counting -------------------------------------------------------------------------------------------------

function charactersOf(content: unknown): number {
  if (typeof content === 'string') return content.length
  let total = 0
  for (const block of list(content).map(doc)) {
    if (block.type === 'tool_use') total += JSON.stringify(block.input ?? {}).length
    else if (block.type === 'tool_result') total += charactersOf(block.content)
    else if (block.type === 'redacted_thinking') continue
    else
      total +=
        typeof block.text === 'string'
          ? block.text.length
          : typeof block.thinking === 'string'
            ? block.thinking.length
            : NON_TEXT
  }
  return total
}

const toolCharacters = (tools: unknown): number => (tools === undefined ? 0 : JSON.stringify(tools).length)

const promptCharacters = (document: Doc, messages: Doc[]): number =>
  toolCharacters(document.tools) +
  charactersOf(document.system) +
  messages.reduce((sum, message) => sum + charactersOf(message.content), 0)

/** What stands before the last cache marker: written the first time, read afterwards. */
function cachedPrefix(document: Doc, messages: Doc[]): { characters: number; hash: string; ttl: string } | undefined {
  const parts: { part: unknown; characters: number; marker: unknown }[] = []
  for (const tool of list(document.tools)) {
    parts.push({ part: tool, characters: toolCharacters(tool), marker: doc(tool).cache_control })
  }
  const add = (role: unknown, content: unknown) => {
    if (typeof content === 'string')
      parts.push({ part: [role, content], characters: content.length, marker: undefined })
    for (const block of list(content)) {
      parts.push({ part: [role, block], characters: charactersOf([block]), marker: doc(block).cache_control })
    }
  }
  add('system', document.system)
  for (const { role, content } of messages) add(role, content)
  if (document.cache_control) {
    const last = parts.at(-1)
    if (last) last.marker ??= document.cache_control
  }
  const end = parts.findLastIndex(({ marker }) => marker !== undefined && marker !== null)
  if (end < 0) return undefined
  const prefix = parts.slice(0, end + 1)
  // The markers themselves move from turn to turn; the prefix is the same without them.
  const spelt = JSON.stringify(
    prefix.map(({ part }) => part),
    (key, value) => (key === 'cache_control' ? undefined : value),
  )
  return {
    characters: prefix.reduce((sum, { characters }) => sum + characters, 0),
    hash: createHash('sha256')
      .update(`${str(document.model)} ${spelt}`)
      .digest('hex'),
    ttl: str(doc(parts[end]?.marker).ttl) || '5m',
  }
}

// --- answering ------------------------------------------------------------------------------------------------

const STOP_REASONS: Record<string, string> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
}

function message(call: Call, messages: Doc[]): Answer {
  const { document, b, id, model } = call
  const format = doc(doc(document.output_config).format ?? document.output_format)
  const thinking = str(doc(document.thinking).type)
  const choice = doc(document.tool_choice)
  const asked: Asked = {
    last: lastText(messages.at(-1)?.content),
    tools: list(document.tools)
      .map(doc)
      .map((tool) => ({ name: str(tool.name), schema: tool.input_schema })),
    choice:
      choice.type === 'tool'
        ? { name: str(choice.name) }
        : choice.type === 'any'
          ? 'required'
          : choice.type === 'none'
            ? 'none'
            : 'auto',
    parallel: choice.disable_parallel_tool_use !== true,
    schema: format.type === 'json_schema' ? (format.schema ?? {}) : undefined,
    maxTokens: whole(document.max_tokens),
    stop: list(document.stop_sequences).map(str),
    reasoning: thinking === 'enabled' || thinking === 'adaptive',
  }
  const said = say(asked, b)
  const input = tokensIn(promptCharacters(document, messages))
  const prefix = cachedPrefix(document, messages)
  const prefixTokens = prefix ? Math.min(tokensIn(prefix.characters), input) : 0
  const isRead = prefix !== undefined && call.seenPrefixes.has(prefix.hash)
  if (prefix) call.seenPrefixes.add(prefix.hash)
  const usage = usageOf(b, input, said.tokens, {
    cacheRead: isRead ? prefixTokens : 0,
    cacheWrite: isRead ? 0 : prefixTokens,
    reasoning: said.reasoningTokens,
  })

  const stop_reason =
    said.stopSequence !== undefined && said.finish === 'stop'
      ? 'stop_sequence'
      : (STOP_REASONS[said.finish] ?? said.finish)
  const stop_sequence = said.stopSequence ?? null
  const inputs = inputUsage(usage, prefix?.ttl)
  const envelope = { id: `msg_${id}`, type: 'message', role: 'assistant', model }
  const signature = signatureOf(said.reasoning)
  const toolId = (at: number) => `toolu_${id}_${at}`

  if (!call.stream) {
    const text = wholeText(said, b)
    const content = [
      ...(said.reasoning === '' ? [] : [{ type: 'thinking', thinking: said.reasoning, signature }]),
      ...(text === '' ? [] : [{ type: 'text', text }]),
      ...said.calls.map(({ name, args }, at) => ({ type: 'tool_use', id: toolId(at), name, input: JSON.parse(args) })),
    ]
    const reported = { ...inputs, output_tokens: usage.said.output, service_tier: 'standard' }
    const body = { ...envelope, content, stop_reason, stop_sequence, ...(b['no-usage'] ? {} : { usage: reported }) }
    return { framing: 'body', events: [{ data: body, tokens: usage.counted, content: true }], usage }
  }

  const event = (type: string, rest: Doc, extra: Partial<Event> = {}): Event => ({
    name: type,
    data: { type, ...rest },
    ...extra,
  })

  function* events(): Iterable<Event> {
    const opening = { ...inputs, output_tokens: 1, service_tier: 'standard' }
    yield event('message_start', {
      message: {
        ...envelope,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        ...(b['no-usage'] ? {} : { usage: opening }),
      },
    })
    let index = 0
    function* block(start: Doc, deltas: Iterable<Event>): Iterable<Event> {
      yield event('content_block_start', { index, content_block: start })
      if (index === 0) yield event('ping', {})
      yield* deltas
      yield event('content_block_stop', { index })
      index++
    }
    const delta = (change: Doc, tokens = 0) =>
      event('content_block_delta', { index, delta: change }, { tokens, content: true })
    if (said.reasoning !== '') {
      const count = meter()
      yield* block(
        { type: 'thinking', thinking: '', signature: '' },
        (function* () {
          for (const piece of piecesOf(said.reasoning, {})) {
            yield delta({ type: 'thinking_delta', thinking: piece }, count(piece.length))
          }
          yield delta({ type: 'signature_delta', signature })
        })(),
      )
    }
    const count = meter()
    if (said.text !== '' || b.endless) {
      yield* block(
        { type: 'text', text: '' },
        (function* () {
          for (const piece of piecesOf(said.text, b)) {
            yield delta({ type: 'text_delta', text: piece }, piece === FILL ? 0 : count(piece.length))
          }
        })(),
      )
    }
    for (const [at, { name, args }] of said.calls.entries()) {
      yield* block(
        { type: 'tool_use', id: toolId(at), name, input: {} },
        (function* () {
          yield delta({ type: 'input_json_delta', partial_json: '' })
          for (const piece of argumentPieces(args)) {
            yield delta({ type: 'input_json_delta', partial_json: piece }, count(piece.length))
          }
        })(),
      )
    }
    const closing = { ...inputs, output_tokens: usage.said.output }
    yield event(
      'message_delta',
      { delta: { stop_reason, stop_sequence }, ...(b['no-usage'] ? {} : { usage: closing }) },
      { usage: true },
    )
    yield event('message_stop', {}, { terminal: true })
  }

  return { framing: 'sse', events: events(), usage }
}

function inputUsage({ said, input, cacheRead, cacheWrite }: Usage, ttl: string | undefined): Doc {
  return {
    // The three are disjoint: what is read from or written to a cache is not in `input_tokens`.
    input_tokens: typeof said.input === 'number' ? Math.max(0, input - cacheRead - cacheWrite) : said.input,
    cache_creation_input_tokens: said.other(cacheWrite),
    cache_read_input_tokens: said.other(cacheRead),
    cache_creation: {
      ephemeral_5m_input_tokens: said.other(ttl === '1h' ? 0 : cacheWrite),
      ephemeral_1h_input_tokens: said.other(ttl === '1h' ? cacheWrite : 0),
    },
  }
}

function lastText(content: unknown): string {
  if (typeof content === 'string') return content
  return list(content)
    .map(doc)
    .map((block) => (block.type === 'tool_result' ? lastText(block.content) : str(block.text)))
    .join('')
}

// --- models ---------------------------------------------------------------------------------------------------

const MODELS = ['claude-opus-4-1', 'claude-sonnet-4-5', 'claude-haiku-4-5']

function models({ model, b }: Call): Answer {
  const entry = (id: string) => ({ type: 'model', id, display_name: id, created_at: '2025-06-15T15:06:40Z' })
  if (model !== '' && !MODELS.includes(model)) throw new Refusal(404, `model: ${model}`)
  const page = { data: MODELS.map(entry), has_more: false, first_id: MODELS[0], last_id: MODELS.at(-1) }
  return {
    framing: 'body',
    events: [{ data: model === '' ? page : entry(model), content: true }],
    usage: usageOf(b, 0, 0),
  }
}
