// OpenAI's wire formats: chat completions, legacy completions, embeddings, models, and the Responses API.
// Lenient where compatible servers are lenient: no key is asked for, unknown fields are ignored.

import type { Behaviour } from './behaviour.ts'
import { type Doc, doc, list, str, whole } from './json.ts'
import {
  type Answer,
  type Asked,
  argumentPieces,
  type Call,
  CREATED,
  type Dialect,
  type ErrorParts,
  FILL,
  finitePieces,
  isSealedFor,
  meter,
  NON_TEXT,
  piecesOf,
  Refusal,
  type Said,
  say,
  sealFor,
  tokensIn,
  type Usage,
  usageOf,
  vectorOf,
  wholeText,
} from './reply.ts'
import type { Event } from './wire.ts'

export const openai: Dialect = {
  answer(call) {
    if (call.operation === 'chat') return chat(call)
    if (call.operation === 'completions') return completions(call)
    if (call.operation === 'embeddings') return embeddings(call)
    if (call.operation === 'responses') return responses(call)
    return models(call)
  },

  error(status, parts) {
    return { error: errorOf(status, parts) }
  },

  errorEvent(status, parts, call) {
    const error = errorOf(status, parts)
    if (call.operation !== 'responses') return { data: { error } }
    return {
      name: 'error',
      data: { type: 'error', code: error.code, message: error.message, param: null, sequence_number: 99 },
    }
  },

  headers(id) {
    return {
      'x-request-id': `req_${id}`,
      'openai-version': '2020-10-01',
      'openai-organization': 'mock-organization',
      'openai-processing-ms': '1',
      'x-ratelimit-limit-requests': '10000',
      'x-ratelimit-remaining-requests': '9999',
      'x-ratelimit-limit-tokens': '2000000',
      'x-ratelimit-remaining-tokens': '1999000',
      'x-ratelimit-reset-requests': '6ms',
      'x-ratelimit-reset-tokens': '30ms',
    }
  },
}

const ERRORS: Record<number, [type: string, code: string | null]> = {
  400: ['invalid_request_error', null],
  401: ['invalid_request_error', 'invalid_api_key'],
  403: ['invalid_request_error', 'unsupported_country_region_territory'],
  404: ['invalid_request_error', 'model_not_found'],
  413: ['invalid_request_error', 'request_too_large'],
  429: ['requests', 'rate_limit_exceeded'],
}

function errorOf(status: number, { message, type, code }: ErrorParts): Doc {
  const [usualType, usualCode] = ERRORS[status] ?? [status < 500 ? 'invalid_request_error' : 'server_error', null]
  return { message, type: type ?? usualType, param: null, code: code ?? usualCode }
}

// --- chat -----------------------------------------------------------------------------------------------------

const ROLES = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function'])

function chat(call: Call): Answer {
  const { document, b, id, model } = call
  const messages = list(document.messages).map(doc)
  if (messages.length === 0)
    throw new Refusal(400, "Invalid 'messages': empty array. Expected an array with minimum length 1.")
  for (const [i, message] of messages.entries()) {
    if (!ROLES.has(str(message.role))) throw new Refusal(400, `Invalid value: 'messages[${i}].role'.`, 'invalid_value')
  }
  const n = Math.min(Math.max(whole(document.n) ?? 1, 1), 128)
  const asked = askedInChat(document, messages)
  const said = Array.from({ length: n }, (_, i) => say(asked, b, i))
  const usage = usageOf(b, promptTokens(document, messages), sum(said.map((s) => s.tokens)), {
    reasoning: sum(said.map((s) => s.reasoningTokens)),
  })
  const envelope = {
    id: `chatcmpl-${id}`,
    object: '',
    created: CREATED,
    model,
    service_tier: 'default',
    system_fingerprint: 'fp_mock',
  }
  const wantsLogprobs = document.logprobs === true

  if (!call.stream) {
    const choices = said.map((s, index) => ({
      index,
      message: messageOf(s, b, id, index),
      logprobs: wantsLogprobs ? { content: [...finitePieces(s.text, b)].map(logprobOf), refusal: null } : null,
      finish_reason: s.finish,
      ...(b['filter-only'] ? { content_filter_results: FILTERED } : {}),
    }))
    const body = {
      ...envelope,
      object: 'chat.completion',
      choices,
      ...(b['no-usage'] ? {} : { usage: chatUsage(usage) }),
      ...(b['filter-only'] ? { prompt_filter_results: [{ prompt_index: 0, content_filter_results: FILTERED }] } : {}),
    }
    return { framing: 'body', events: [{ data: body, tokens: usage.counted, content: true }], usage }
  }

  const includes = doc(document.stream_options).include_usage === true
  const reports = !b['no-usage'] && (b['usage-always'] || (includes && !b['ignore-include-usage']))
  const chunk = (choices: unknown[], rest: Doc = {}): Doc => ({
    ...envelope,
    object: 'chat.completion.chunk',
    choices,
    ...(includes && !b['ignore-include-usage'] ? { usage: null } : {}),
    ...rest,
  })

  function* events(): Iterable<Event> {
    if (b['filter-only']) {
      yield {
        data: chunk([], {
          id: '',
          model: '',
          object: '',
          created: 0,
          prompt_filter_results: [{ prompt_index: 0, content_filter_results: FILTERED }],
        }),
      }
    }
    yield* inTurns(said.map((s, index) => choiceDeltas(s, index)))
    if (reports) yield { data: chunk([], { usage: chatUsage(usage) }), usage: true }
    yield { data: '[DONE]', terminal: true }
  }

  function* choiceDeltas(s: Said, index: number): Iterable<Event> {
    const count = meter()
    const delta = (change: Doc, rest: Doc = {}, finish: string | null = null) =>
      chunk([{ index, delta: change, logprobs: null, finish_reason: finish, ...rest }])
    const showsReasoning = b.reasoning !== undefined
    // Reasoning that is not shown is paid for all the same, before the first word.
    yield {
      data: delta({ role: 'assistant', content: s.calls.length > 0 && s.text === '' ? null : '', refusal: null }),
      tokens: showsReasoning ? 0 : s.reasoningTokens,
    }
    if (showsReasoning) {
      const thinking = meter()
      for (const piece of piecesOf(s.reasoning, {})) {
        yield { data: delta({ reasoning_content: piece }), tokens: thinking(piece.length), content: true }
      }
    }
    for (const piece of piecesOf(s.text, b)) {
      const logprobs = wantsLogprobs ? { logprobs: { content: [logprobOf(piece)], refusal: null } } : {}
      yield {
        data: delta({ content: piece }, logprobs),
        tokens: piece === FILL ? 0 : count(piece.length),
        content: true,
      }
    }
    for (const [at, { name, args }] of s.calls.entries()) {
      const opening = { index: at, id: callId(id, index, at), type: 'function', function: { name, arguments: '' } }
      yield { data: delta({ tool_calls: [opening] }), content: true }
      for (const piece of argumentPieces(args)) {
        const change = { tool_calls: [{ index: at, function: { arguments: piece } }] }
        yield { data: delta(change), tokens: count(piece.length), content: true }
      }
    }
    yield { data: delta({}, {}, s.finish) }
  }

  return { framing: 'sse', events: events(), usage }
}

const FILTERED = {
  hate: { filtered: false, severity: 'safe' },
  self_harm: { filtered: false, severity: 'safe' },
  sexual: { filtered: false, severity: 'safe' },
  violence: { filtered: false, severity: 'safe' },
}

const callId = (id: string, choice: number, at: number): string => `call_${id}_${choice}_${at}`

function messageOf(s: Said, b: Behaviour, id: string, choice: number): Doc {
  const text = wholeText(s, b)
  return {
    role: 'assistant',
    content: text === '' && s.calls.length > 0 ? null : text,
    refusal: null,
    annotations: [],
    ...(b.reasoning === undefined ? {} : { reasoning_content: s.reasoning }),
    ...(s.calls.length === 0
      ? {}
      : {
          tool_calls: s.calls.map(({ name, args }, at) => ({
            id: callId(id, choice, at),
            type: 'function',
            function: { name, arguments: args },
          })),
        }),
  }
}

const logprobOf = (token: string) => ({ token, logprob: -0.125, bytes: [...Buffer.from(token)], top_logprobs: [] })

function askedInChat(document: Doc, messages: Doc[]): Asked {
  const format = doc(document.response_format)
  const schema =
    format.type === 'json_schema'
      ? (doc(format.json_schema).schema ?? {})
      : format.type === 'json_object'
        ? true
        : undefined
  const effort = str(document.reasoning_effort)
  const tools = list(document.tools).map((tool) => doc(doc(tool).function))
  return {
    last: textOf(messages.at(-1)?.content),
    tools: tools.map((tool) => ({ name: str(tool.name), schema: tool.parameters })),
    choice: choiceOf(document.tool_choice),
    parallel: document.parallel_tool_calls !== false,
    schema,
    maxTokens: whole(document.max_completion_tokens) ?? whole(document.max_tokens),
    stop: typeof document.stop === 'string' ? [document.stop] : list(document.stop).map(str),
    reasoning: effort !== '' && effort !== 'none',
  }
}

function choiceOf(choice: unknown): Asked['choice'] {
  if (choice === 'none' || choice === 'required') return choice
  const name = str(doc(doc(choice).function).name) || str(doc(choice).name)
  return name === '' ? 'auto' : { name }
}

const textOf = (content: unknown): string =>
  typeof content === 'string'
    ? content
    : list(content)
        .map((part) => str(doc(part).text))
        .join('')

function promptTokens(document: Doc, messages: Doc[]): number {
  let characters = document.tools === undefined ? 0 : JSON.stringify(document.tools).length
  for (const message of messages) {
    characters += charactersOf(message.content)
    for (const call of list(message.tool_calls)) characters += str(doc(doc(call).function).arguments).length
  }
  return tokensIn(characters)
}

const charactersOf = (content: unknown): number =>
  typeof content === 'string'
    ? content.length
    : sum(list(content).map((part) => (typeof doc(part).text === 'string' ? str(doc(part).text).length : NON_TEXT)))

const sum = (numbers: number[]): number => numbers.reduce((total, n) => total + n, 0)

const chatUsage = ({ said, cacheRead, reasoning }: Usage): Doc => ({
  prompt_tokens: said.input,
  completion_tokens: said.output,
  total_tokens: said.total,
  prompt_tokens_details: { cached_tokens: said.other(cacheRead), audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: said.other(reasoning),
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
})

/** Choices come interleaved, as they do from the real one. */
function* inTurns(sources: Iterable<Event>[]): Iterable<Event> {
  let running = sources.map((source) => source[Symbol.iterator]())
  while (running.length > 0) {
    const still: Iterator<Event>[] = []
    for (const source of running) {
      const next = source.next()
      if (next.done) continue
      yield next.value
      still.push(source)
    }
    running = still
  }
}

// --- legacy completions ---------------------------------------------------------------------------------------

function completions(call: Call): Answer {
  const { document, b, id, model } = call
  const prompts = promptsOf(document.prompt)
  const n = Math.min(Math.max(whole(document.n) ?? 1, 1), 128)
  const stop = typeof document.stop === 'string' ? [document.stop] : list(document.stop).map(str)
  const said = prompts.flatMap(({ text }) =>
    Array.from({ length: n }, (_, i) => {
      const asked: Asked = {
        last: text,
        tools: [],
        choice: 'none',
        parallel: true,
        maxTokens: whole(document.max_tokens),
        stop,
        reasoning: false,
      }
      const s = say(asked, b, i)
      return document.echo === true ? { ...s, text: text + s.text } : s
    }),
  )
  const usage = usageOf(b, sum(prompts.map((p) => p.tokens)), sum(said.map((s) => s.tokens)))
  const envelope = {
    id: `cmpl-${id}`,
    object: 'text_completion',
    created: CREATED,
    model,
    system_fingerprint: 'fp_mock',
  }
  const { prompt_tokens, completion_tokens, total_tokens } = chatUsage(usage)
  const reported = { prompt_tokens, completion_tokens, total_tokens }
  if (!call.stream) {
    const choices = said.map((s, index) => ({ text: wholeText(s, b), index, logprobs: null, finish_reason: s.finish }))
    const body = { ...envelope, choices, ...(b['no-usage'] ? {} : { usage: reported }) }
    return { framing: 'body', events: [{ data: body, tokens: usage.counted, content: true }], usage }
  }
  const includes = doc(document.stream_options).include_usage === true
  const reports = !b['no-usage'] && (b['usage-always'] || (includes && !b['ignore-include-usage']))
  function* deltas(s: Said, index: number): Iterable<Event> {
    const count = meter()
    for (const text of piecesOf(s.text, b)) {
      const tokens = text === FILL ? 0 : count(text.length)
      yield {
        data: { ...envelope, choices: [{ text, index, logprobs: null, finish_reason: null }] },
        tokens,
        content: true,
      }
    }
    yield { data: { ...envelope, choices: [{ text: '', index, logprobs: null, finish_reason: s.finish }] } }
  }
  function* events(): Iterable<Event> {
    yield* inTurns(said.map(deltas))
    if (reports) yield { data: { ...envelope, choices: [], usage: reported }, usage: true }
    yield { data: '[DONE]', terminal: true }
  }
  return { framing: 'sse', events: events(), usage }
}

/** A prompt is a text, texts, tokens, or lists of tokens; tokens count as themselves. */
function promptsOf(prompt: unknown): { text: string; tokens: number }[] {
  if (typeof prompt === 'string') return [{ text: prompt, tokens: tokensIn(prompt.length) }]
  const items = list(prompt)
  if (items.length === 0) throw new Refusal(400, 'you must provide a prompt or an input')
  if (typeof items[0] === 'number') return [{ text: `tokens ${items.join(' ')}`, tokens: items.length }]
  return items.flatMap(promptsOf)
}

// --- embeddings -----------------------------------------------------------------------------------------------

const DIMENSIONS: Record<string, number> = {
  'text-embedding-3-small': 1536,
  'text-embedding-3-large': 3072,
  'text-embedding-ada-002': 1536,
}

function embeddings({ document, b, model }: Call): Answer {
  const inputs = promptsOf(document.input)
  const dimensions = Math.min(whole(document.dimensions) ?? DIMENSIONS[model] ?? 768, 16_384)
  if (dimensions < 1) throw new Refusal(400, "Invalid value for 'dimensions': must be at least 1.")
  const data = inputs.map(({ text }, index) => {
    const vector = vectorOf(text, dimensions)
    const embedding =
      document.encoding_format === 'base64' ? Buffer.from(vector.buffer).toString('base64') : [...vector]
    return { object: 'embedding', index, embedding }
  })
  const usage = usageOf(b, sum(inputs.map((input) => input.tokens)), 0)
  const reported = { prompt_tokens: usage.said.input, total_tokens: usage.said.total }
  const body = { object: 'list', data, model, ...(b['no-usage'] ? {} : { usage: reported }) }
  return { framing: 'body', events: [{ data: body, content: true }], usage }
}

// --- models ---------------------------------------------------------------------------------------------------

const MODELS = ['gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'o4-mini', 'text-embedding-3-small', 'text-embedding-3-large']

function models({ model, b }: Call): Answer {
  const entry = (id: string) => ({ id, object: 'model', created: CREATED, owned_by: 'mock' })
  if (model !== '' && !MODELS.includes(model)) throw new Refusal(404, `The model '${model}' does not exist`)
  const body = model === '' ? { object: 'list', data: MODELS.map(entry) } : entry(model)
  return { framing: 'body', events: [{ data: body, content: true }], usage: usageOf(b, 0, 0) }
}

// --- responses ------------------------------------------------------------------------------------------------

function responses(call: Call): Answer {
  const { document, b, id, model } = call
  const items =
    typeof document.input === 'string' ? [{ role: 'user', content: document.input }] : list(document.input).map(doc)
  if (items.length === 0) throw new Refusal(400, "Missing required parameter: 'input'.", 'missing_required_parameter')
  const account = call.headers.authorization ?? ''
  for (const item of items) {
    const seal = str(doc(item).encrypted_content)
    if (seal !== '' && !isSealedFor(account, seal)) {
      throw new Refusal(
        400,
        `The encrypted content ${seal.slice(0, 4)}... could not be verified.`,
        'invalid_encrypted_content',
      )
    }
  }
  const format = doc(doc(document.text).format)
  const asked: Asked = {
    last: textOf(items.at(-1)?.content) || str(items.at(-1)?.output),
    tools: list(document.tools)
      .map(doc)
      .filter((tool) => tool.type === 'function')
      .map((tool) => ({ name: str(tool.name), schema: tool.parameters })),
    choice: choiceOf(document.tool_choice),
    parallel: document.parallel_tool_calls !== false,
    schema: format.type === 'json_schema' ? (format.schema ?? {}) : format.type === 'json_object' ? true : undefined,
    maxTokens: whole(document.max_output_tokens),
    stop: [],
    reasoning:
      document.reasoning !== undefined && document.reasoning !== null && doc(document.reasoning).effort !== 'none',
  }
  const said = say(asked, b)
  const characters =
    str(document.instructions).length +
    (document.tools === undefined ? 0 : JSON.stringify(document.tools).length) +
    sum(items.map((item) => charactersOf(item.content) + str(item.arguments).length + str(item.output).length))
  const usage = usageOf(b, tokensIn(characters), said.tokens, { reasoning: said.reasoningTokens })

  const reported = {
    input_tokens: usage.said.input,
    input_tokens_details: { cached_tokens: usage.said.other(usage.cacheRead) },
    output_tokens: usage.said.output,
    output_tokens_details: { reasoning_tokens: usage.said.other(usage.reasoning) },
    total_tokens: usage.said.total,
  }
  const incomplete = { length: 'max_output_tokens', content_filter: 'content_filter' }[said.finish]
  const response = (status: string, output: unknown[]) => ({
    id: `resp_${id}`,
    object: 'response',
    created_at: CREATED,
    status,
    background: false,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: incomplete } : null,
    instructions: document.instructions ?? null,
    max_output_tokens: document.max_output_tokens ?? null,
    model,
    output,
    parallel_tool_calls: asked.parallel,
    previous_response_id: document.previous_response_id ?? null,
    reasoning: { effort: doc(document.reasoning).effort ?? null, summary: doc(document.reasoning).summary ?? null },
    store: document.store ?? true,
    temperature: document.temperature ?? 1,
    text: { format: { type: 'text', ...format } },
    tool_choice: document.tool_choice ?? 'auto',
    tools: document.tools ?? [],
    top_p: document.top_p ?? 1,
    truncation: 'disabled',
    usage: status === 'in_progress' || b['no-usage'] ? null : reported,
    metadata: document.metadata ?? {},
  })

  const text = wholeText(said, b)
  const reasoningItem = () => ({
    id: `rs_${id}`,
    type: 'reasoning',
    summary: [{ type: 'summary_text', text: said.reasoning }],
    encrypted_content: sealFor(account, said.reasoning),
  })
  const part = (content: string) => ({ type: 'output_text', annotations: [], logprobs: [], text: content })
  const message = (status: string, content: unknown[]) => ({
    id: `msg_${id}`,
    type: 'message',
    status,
    role: 'assistant',
    content,
  })
  const callItem = (at: number, status: string, args: string) => ({
    id: `fc_${id}_${at}`,
    type: 'function_call',
    status,
    call_id: callId(id, 0, at),
    name: said.calls[at]?.name,
    arguments: args,
  })
  const speaks = text !== '' || said.calls.length === 0
  const output = [
    ...(said.reasoning === '' ? [] : [reasoningItem()]),
    ...(speaks ? [message('completed', [part(text)])] : []),
    ...said.calls.map(({ args }, at) => callItem(at, 'completed', args)),
  ]
  const ending = incomplete === undefined ? 'completed' : 'incomplete'
  if (!call.stream) {
    return {
      framing: 'body',
      events: [{ data: response(ending, output), tokens: usage.counted, content: true }],
      usage,
    }
  }

  let sequence = 0
  const event = (type: string, rest: Doc, extra: Partial<Event> = {}): Event => ({
    name: type,
    data: { type, sequence_number: sequence++, ...rest },
    ...extra,
  })

  function* events(): Iterable<Event> {
    yield event('response.created', { response: response('in_progress', []) })
    yield event('response.in_progress', { response: response('in_progress', []) })
    let output_index = 0
    if (said.reasoning !== '') {
      const item_id = `rs_${id}`
      const thinking = meter()
      yield event('response.output_item.added', { output_index, item: { ...reasoningItem(), summary: [] } })
      yield event('response.reasoning_summary_part.added', {
        item_id,
        output_index,
        summary_index: 0,
        part: { type: 'summary_text', text: '' },
      })
      for (const delta of piecesOf(said.reasoning, {})) {
        yield event(
          'response.reasoning_summary_text.delta',
          { item_id, output_index, summary_index: 0, delta },
          { tokens: thinking(delta.length), content: true },
        )
      }
      yield event('response.reasoning_summary_text.done', {
        item_id,
        output_index,
        summary_index: 0,
        text: said.reasoning,
      })
      yield event('response.reasoning_summary_part.done', {
        item_id,
        output_index,
        summary_index: 0,
        part: { type: 'summary_text', text: said.reasoning },
      })
      yield event('response.output_item.done', { output_index, item: reasoningItem() })
      output_index++
    }
    const count = meter()
    if (speaks) {
      const at = { item_id: `msg_${id}`, output_index, content_index: 0 }
      yield event('response.output_item.added', { output_index, item: message('in_progress', []) })
      yield event('response.content_part.added', { ...at, part: part('') })
      for (const delta of piecesOf(said.text, b)) {
        yield event(
          'response.output_text.delta',
          { ...at, delta, logprobs: [] },
          { tokens: delta === FILL ? 0 : count(delta.length), content: true },
        )
      }
      yield event('response.output_text.done', { ...at, text: said.text, logprobs: [] })
      yield event('response.content_part.done', { ...at, part: part(said.text) })
      yield event('response.output_item.done', { output_index, item: message('completed', [part(said.text)]) })
      output_index++
    }
    for (const [at, { args }] of said.calls.entries()) {
      const item_id = `fc_${id}_${at}`
      yield event(
        'response.output_item.added',
        { output_index, item: callItem(at, 'in_progress', '') },
        { content: true },
      )
      for (const delta of argumentPieces(args)) {
        yield event(
          'response.function_call_arguments.delta',
          { item_id, output_index, delta },
          { tokens: count(delta.length), content: true },
        )
      }
      yield event('response.function_call_arguments.done', { item_id, output_index, arguments: args })
      yield event('response.output_item.done', { output_index, item: callItem(at, 'completed', args) })
      output_index++
    }
    yield event(`response.${ending}`, { response: response(ending, output) }, { terminal: true, usage: true })
  }

  return { framing: 'sse', events: events(), usage }
}
