// Gemini's generateContent and its neighbours. Strict as the real one, which is generated from protocol buffers and
// refuses any field it does not know.

import { type Doc, doc, list, str, whole } from './json.ts'
import {
  type Answer,
  type Asked,
  type Call,
  type Dialect,
  FILL,
  meter,
  NON_TEXT,
  piecesOf,
  Refusal,
  type Said,
  say,
  signatureOf,
  tokensIn,
  type Usage,
  usageOf,
  vectorOf,
  wholeText,
} from './reply.ts'
import type { Event } from './wire.ts'

const STATUS: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
}

export const gemini: Dialect = {
  answer(call) {
    if (!call.headers['x-goog-api-key'] && !call.headers.authorization) {
      throw new Refusal(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
      )
    }
    if (call.operation === 'models') return models(call)
    if (call.operation === 'countTokens') return countTokens(call)
    if (call.operation === 'embedContent' || call.operation === 'batchEmbedContents') return embed(call)
    return generate(call)
  },

  error(status, { message, code, type, retryAfter }) {
    const seconds = Number(retryAfter)
    const details = Number.isFinite(seconds)
      ? { details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${seconds}s` }] }
      : {}
    return {
      error: {
        code: status,
        message,
        status: code ?? type ?? STATUS[status] ?? (status < 500 ? 'INVALID_ARGUMENT' : 'INTERNAL'),
        ...details,
      },
    }
  },

  errorEvent(status, parts) {
    return { data: gemini.error(status === 500 ? 503 : status, parts) }
  },

  headers: () => ({
    vary: 'Origin, X-Origin, Referer',
    'server-timing': 'gfet4t7; dur=1',
    'x-frame-options': 'SAMEORIGIN',
  }),
}

// --- checking -------------------------------------------------------------------------------------------------

const words = (text: string): Set<string> => new Set(text.split(' '))
const FIELDS = words(
  'model contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent labels store serviceTier',
)
const CONFIG = words(
  'stopSequences responseMimeType responseSchema responseJsonSchema _responseJsonSchema responseModalities candidateCount maxOutputTokens temperature topP topK seed presencePenalty frequencyPenalty responseLogprobs logprobs enableEnhancedCivicAnswers speechConfig thinkingConfig imageConfig mediaResolution audioTimestamp routingConfig',
)
const DATA = words('text inlineData functionCall functionResponse fileData executableCode codeExecutionResult')

/** Both spellings are taken, as protocol buffers do; the rest of this file knows camel case only. */
const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
const camelKeys = (value: unknown): Doc =>
  Object.fromEntries(Object.entries(doc(value)).map(([key, held]) => [key.startsWith('_') ? key : camel(key), held]))

function known(value: unknown, names: Set<string>, at: string): Doc {
  const found = camelKeys(value)
  for (const name of Object.keys(found)) {
    if (!names.has(name)) {
      throw new Refusal(
        400,
        `Invalid JSON payload received. Unknown name "${name}"${at === '' ? '' : ` at '${at}'`}: Cannot find field.`,
      )
    }
  }
  return found
}

function checkedContents(value: unknown): Doc[] {
  const contents = list(value).map(doc)
  if (contents.length === 0) throw new Refusal(400, '* GenerateContentRequest.contents: contents is not specified')
  for (const [i, content] of contents.entries()) {
    if (content.role !== undefined && !['user', 'model', 'function', ''].includes(str(content.role))) {
      throw new Refusal(400, 'Please use a valid role: user, model.')
    }
    const parts = list(content.parts)
    if (parts.length === 0)
      throw new Refusal(400, `* GenerateContentRequest.contents[${i}].parts: contents.parts must not be empty.`)
    for (const [at, part] of parts.entries()) {
      const data = Object.keys(camelKeys(part)).filter((key) => DATA.has(key))
      if (data.length === 1) continue
      throw new Refusal(
        400,
        `* GenerateContentRequest.contents[${i}].parts[${at}].data: required oneof field 'data' must have one initialized field`,
      )
    }
  }
  return contents
}

// --- counting -------------------------------------------------------------------------------------------------

function charactersOf(content: unknown): number {
  let total = 0
  for (const part of list(doc(content).parts).map(camelKeys)) {
    if (typeof part.text === 'string') total += part.text.length
    else if (part.functionCall !== undefined) total += JSON.stringify(doc(part.functionCall).args ?? {}).length
    else if (part.functionResponse !== undefined)
      total += JSON.stringify(doc(part.functionResponse).response ?? {}).length
    else total += NON_TEXT
  }
  return total
}

const promptTokens = (request: Doc, contents: Doc[]): number =>
  tokensIn(
    (request.tools === undefined ? 0 : JSON.stringify(request.tools).length) +
      charactersOf(request.systemInstruction) +
      contents.reduce((sum, content) => sum + charactersOf(content), 0),
  )

// --- answering ------------------------------------------------------------------------------------------------

const FINISH: Record<string, string> = {
  stop: 'STOP',
  length: 'MAX_TOKENS',
  content_filter: 'SAFETY',
  tool_calls: 'STOP',
}

function generate(call: Call): Answer {
  const { b, id, model } = call
  const request = known(call.document, FIELDS, '')
  const config = known(request.generationConfig, CONFIG, 'generation_config')
  const contents = checkedContents(request.contents)
  const thinking = camelKeys(config.thinkingConfig)
  const calling = camelKeys(camelKeys(request.toolConfig).functionCallingConfig)
  const allowed = list(calling.allowedFunctionNames).map(str)
  const asJson = config.responseMimeType === 'application/json'
  const asked: Asked = {
    last: lastText(contents.at(-1)),
    tools: list(request.tools)
      .flatMap((tool) => list(camelKeys(tool).functionDeclarations))
      .map(camelKeys)
      .map((tool) => ({ name: str(tool.name), schema: tool.parameters ?? tool.parametersJsonSchema })),
    choice:
      calling.mode === 'NONE'
        ? 'none'
        : calling.mode === 'ANY'
          ? allowed[0]
            ? { name: allowed[0] }
            : 'required'
          : 'auto',
    parallel: true,
    schema: asJson
      ? (config.responseSchema ?? config.responseJsonSchema ?? config._responseJsonSchema ?? true)
      : undefined,
    maxTokens: whole(config.maxOutputTokens),
    stop: list(config.stopSequences).map(str),
    reasoning: Object.keys(thinking).length > 0 && thinking.thinkingBudget !== 0,
  }
  const n = Math.min(Math.max(whole(config.candidateCount) ?? 1, 1), 8)
  const said = Array.from({ length: n }, (_, i) => say(asked, b, i))
  const usage = usageOf(
    b,
    promptTokens(request, contents),
    said.reduce((sum, s) => sum + s.tokens, 0),
    {
      reasoning: said.reduce((sum, s) => sum + s.reasoningTokens, 0),
      cacheRead: request.cachedContent === undefined ? 0 : NON_TEXT,
    },
  )
  const envelope = { modelVersion: model, responseId: id }
  const shows = thinking.includeThoughts === true || b.reasoning !== undefined

  if (!call.stream) {
    const candidates = said.map((s, index) => {
      const text = wholeText(s, b)
      const parts = [
        ...(shows && s.reasoning !== '' ? [{ text: s.reasoning, thought: true }] : []),
        ...(text === '' ? [] : [{ text, ...(s.calls.length === 0 ? signed(s) : {}) }]),
        ...callParts(s),
      ]
      return { content: { parts, role: 'model' }, finishReason: FINISH[s.finish] ?? s.finish, index }
    })
    const body = {
      candidates,
      ...(b['filter-only'] ? PROMPT_FEEDBACK : {}),
      ...(b['no-usage'] ? {} : { usageMetadata: metadata(usage) }),
      ...envelope,
    }
    return { framing: 'body', events: [{ data: body, tokens: usage.counted, content: true }], usage }
  }

  function* events(): Iterable<Event> {
    // Every chunk reports usage so far, as the real one does; only the last report is the bill.
    let served = 0
    let thought = 0
    const chunk = (index: number, parts: unknown[], tokens: number, rest: Doc = {}): Event => {
      served += tokens
      const soFar = {
        promptTokenCount: usage.said.input,
        candidatesTokenCount: usage.said.other(served - thought),
        ...(thought > 0 ? { thoughtsTokenCount: usage.said.other(thought) } : {}),
        totalTokenCount: usage.said.other(usage.input + served),
      }
      const candidates = [{ content: { parts, role: 'model' }, index, ...rest }]
      return {
        data: { candidates, ...(b['no-usage'] || b['usage-after-done'] ? {} : { usageMetadata: soFar }), ...envelope },
        tokens,
        content: true,
      }
    }
    if (b['filter-only']) yield { data: { ...PROMPT_FEEDBACK, ...envelope } }
    for (const [index, s] of said.entries()) {
      if (shows) {
        const count = meter()
        for (const text of piecesOf(s.reasoning, {})) {
          const tokens = count(text.length)
          thought += tokens
          yield chunk(index, [{ text, thought: true }], tokens)
        }
      }
      const count = meter()
      let hidden = shows ? 0 : s.reasoningTokens
      thought += hidden
      for (const text of piecesOf(s.text, b)) {
        yield chunk(index, [{ text }], (text === FILL ? 0 : count(text.length)) + hidden)
        hidden = 0
      }
      // Arguments are counted as they were spelt, as in every dialect.
      for (const [at, part] of callParts(s).entries()) {
        yield chunk(index, [part], count(s.calls[at]?.args.length ?? 0) + hidden)
        hidden = 0
      }
      const isLast = index === said.length - 1
      const finish = { finishReason: FINISH[s.finish] ?? s.finish }
      const closing = chunk(index, [{ text: '', ...(s.calls.length === 0 ? signed(s) : {}) }], 0, finish)
      if (!isLast) {
        yield closing
        continue
      }
      const bill = b['no-usage'] ? {} : { usageMetadata: metadata(usage) }
      if (b['usage-after-done']) yield { data: { ...bill, ...envelope }, usage: true }
      yield { data: { ...doc(closing.data), ...(b['usage-after-done'] ? {} : bill) }, usage: true, terminal: true }
    }
  }

  return { framing: call.sse ? 'sse' : 'array', events: events(), usage }
}

const PROMPT_FEEDBACK = {
  promptFeedback: { safetyRatings: [{ category: 'HARM_CATEGORY_HARASSMENT', probability: 'NEGLIGIBLE' }] },
}

const signed = (s: Said): Doc => (s.reasoning === '' ? {} : { thoughtSignature: signatureOf(s.reasoning) })

/** The signature travels with the first of parallel calls only. */
const callParts = (s: Said): Doc[] =>
  s.calls.map(({ name, args }, at) => ({
    functionCall: { name, args: JSON.parse(args) },
    ...(at === 0 ? signed(s) : {}),
  }))

function metadata({ said, input, output, cacheRead, reasoning, counted }: Usage): Doc {
  const thoughts = Math.min(reasoning, output)
  return {
    promptTokenCount: said.input,
    // Thoughts are not among the candidates' tokens here, unlike everywhere else.
    candidatesTokenCount: typeof said.output === 'number' ? output - thoughts : said.output,
    totalTokenCount: said.total,
    ...(cacheRead > 0 ? { cachedContentTokenCount: said.other(cacheRead) } : {}),
    ...(thoughts > 0 && counted > 0 ? { thoughtsTokenCount: said.other(thoughts) } : {}),
    promptTokensDetails: [{ modality: 'TEXT', tokenCount: said.other(input) }],
  }
}

function lastText(content: unknown): string {
  return list(doc(content).parts)
    .map(camelKeys)
    .map((part) =>
      part.functionResponse === undefined ? str(part.text) : JSON.stringify(doc(part.functionResponse).response ?? {}),
    )
    .join('')
}

// --- the neighbours -------------------------------------------------------------------------------------------

function countTokens({ document, b }: Call): Answer {
  const outer = camelKeys(document)
  const request = camelKeys(outer.generateContentRequest ?? document)
  const usage = usageOf(b, promptTokens(request, checkedContents(request.contents)), 0)
  const body = {
    totalTokens: usage.said.input,
    promptTokensDetails: [{ modality: 'TEXT', tokenCount: usage.said.input }],
  }
  return { framing: 'body', events: [{ data: body, content: true }], usage }
}

function embed({ document, operation, b, model }: Call): Answer {
  const requests = operation === 'embedContent' ? [document] : list(document.requests)
  if (requests.length === 0) throw new Refusal(400, '* BatchEmbedContentsRequest.requests: requests is not specified')
  let characters = 0
  const embeddings = requests.map(camelKeys).map((request) => {
    characters += charactersOf(request.content)
    const dimensions = whole(request.outputDimensionality) ?? (model.startsWith('gemini-embedding') ? 3072 : 768)
    if (dimensions < 1 || dimensions > 16_384) throw new Refusal(400, 'Invalid output_dimensionality.')
    return { values: [...vectorOf(lastText(request.content), dimensions)] }
  })
  const body = operation === 'embedContent' ? { embedding: embeddings[0] } : { embeddings }
  return { framing: 'body', events: [{ data: body, content: true }], usage: usageOf(b, tokensIn(characters), 0) }
}

const MODELS = ['gemini-2.5-pro', 'gemini-2.5-flash', 'gemini-embedding-001']

function models({ model, b }: Call): Answer {
  const entry = (id: string) => ({
    name: `models/${id}`,
    version: '001',
    displayName: id,
    inputTokenLimit: 1_048_576,
    outputTokenLimit: 65_536,
    supportedGenerationMethods: id.includes('embedding')
      ? ['embedContent', 'countTokens']
      : ['generateContent', 'countTokens'],
  })
  if (model !== '' && !MODELS.includes(model))
    throw new Refusal(404, `models/${model} is not found for API version v1beta`)
  const body = model === '' ? { models: MODELS.map(entry) } : entry(model)
  return { framing: 'body', events: [{ data: body, content: true }], usage: usageOf(b, 0, 0) }
}
