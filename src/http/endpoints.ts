/** Which paths the data plane serves, and the dialect that each speaks. */
import { failure } from '../core/errors.ts'
import type { JsonObject } from '../core/request.ts'

export const ENDPOINTS = [
  { path: '/v1/chat/completions', dialect: 'openai-chat' },
  { path: '/v1/completions', dialect: 'openai-completions' },
  { path: '/v1/embeddings', dialect: 'openai-embeddings' },
  { path: '/v1/responses', dialect: 'openai-responses' },
  { path: '/v1/rerank', dialect: 'jina-rerank' },
  { path: '/v2/rerank', dialect: 'cohere-rerank' },
  { path: '/v1/messages', dialect: 'anthropic-messages' },
] as const

/**
 * In whose shape a request is answered: by its path, or by headers that the SDKs of one vendor alone send. `native` knows
 * the shape of what stands under an upstream's name.
 */
export function dialectOf(
  url: string,
  headers: Readonly<Record<string, unknown>>,
  native?: (upstream: string) => string | undefined,
): string {
  if (url.startsWith('/v1/messages')) return 'anthropic-messages'
  if (/^\/(?:upload\/)?v1(?:alpha|beta)/.test(url) || verbOf(url) !== undefined) return 'gemini-generate'
  if (!url.startsWith('/v1/models')) return native?.(/^\/([^/?]+)\//.exec(url)?.[1] ?? '') ?? 'openai-chat'
  if (headers['anthropic-version'] !== undefined) return 'anthropic-messages'
  const isGoogles = headers['x-goog-api-key'] !== undefined || headers['x-goog-api-client'] !== undefined
  return isGoogles ? 'gemini-generate' : 'openai-chat'
}

/** What a path says that other dialects say in the body. */
export interface Address {
  readonly model: string
  readonly stream: boolean
  /** The stream is wanted as one JSON array instead of server-sent events. */
  readonly array: boolean
}

/**
 * Google puts model and verb into the path, `/v1beta/models/{model}:{verb}`. Its newer clients leave out the "beta", some say
 * "alpha" to try what is not in it yet, and several leave out `models/` where the model's name has a slash in it.
 */
export const MODEL_PATHS = [
  { path: '/v1beta/*', prefix: '' },
  { path: '/v1alpha/*', prefix: '' },
  { path: '/v1/models/*', prefix: '' },
  { path: '/v1/tunedModels/*', prefix: 'tunedModels/' },
] as const
export const VERBS: Readonly<
  Record<string, { readonly dialect: string; readonly stream?: true; readonly counting?: Counting }>
> = {
  generateContent: { dialect: 'gemini-generate' },
  streamGenerateContent: { dialect: 'gemini-generate', stream: true },
  embedContent: { dialect: 'gemini-embed-content' },
  batchEmbedContents: { dialect: 'gemini-embed-content' },
  countTokens: {
    dialect: 'gemini-generate',
    counting: {
      // Either the contents alone, or the whole request.
      asked: ({ generateContentRequest, generate_content_request, ...body }) =>
        (generateContentRequest ?? generate_content_request ?? body) as JsonObject,
      answer: (tokens) => ({ totalTokens: tokens, promptTokensDetails: [{ modality: 'TEXT', tokenCount: tokens }] }),
    },
  },
}

const KNOWN_VERBS = Object.keys(VERBS)
  .map((verb) => `:${verb}`)
  .join(' or ')

/** What Google's clients ask of a model in this path. Names have colons too (`llama3:8b`): only words of Google's are verbs. */
export const verbOf = (url: string): string | undefined =>
  /^\/v1(?:(?:alpha|beta)\/|\/models\/|\/tunedModels\/)[^?]*:([a-z][A-Za-z]*(?:Contents?|Tokens|Answer|Message|Text|Predict|LongRunning)|predict)(?:$|\?)/.exec(
    url,
  )?.[1]

/** An endpoint that tells how many tokens the input of a request would have. */
export interface Counting {
  /** The request that is meant. */
  asked(body: JsonObject): JsonObject
  answer(tokens: number): JsonObject
}
export const COUNTERS: readonly { readonly path: string; readonly dialect: string; readonly counting: Counting }[] = [
  {
    path: '/v1/messages/count_tokens',
    dialect: 'anthropic-messages',
    counting: { asked: (body) => body, answer: (tokens) => ({ input_tokens: tokens }) },
  },
  {
    path: '/v1/responses/input_tokens',
    dialect: 'openai-responses',
    counting: {
      asked: (body) => body,
      answer: (tokens) => ({ object: 'response.input_tokens', input_tokens: tokens }),
    },
  },
]

/** `named` is what stands before the query, decoded; names may hold slashes and colons. */
export function addressOf(named: string, query: Readonly<Record<string, unknown>>): { verb: string; address: Address } {
  const name = named.replace(/^models\//, '')
  const colon = name.lastIndexOf(':')
  const verb = name.slice(colon + 1)
  if (colon < 1 || !Object.hasOwn(VERBS, verb)) {
    const asked = colon < 1 ? `path "${named.slice(0, 200)}"` : `method "${verb.slice(0, 100)}"`
    throw failure('not_found', { what: `${asked} (behind a model's name comes ${KNOWN_VERBS})` })
  }
  const stream = VERBS[verb]?.stream === true
  return { verb, address: { model: name.slice(0, colon), stream, array: stream && query.alt !== 'sse' } }
}

/**
 * A key in the query, as Google's older clients send it, becomes the header that its newer ones use: from here on no
 * address holds a secret. The admin API has no keys there.
 */
export function withoutQueryKey(url: string, headers: Record<string, string | string[] | undefined>): string {
  const mark = url.indexOf('?')
  if (mark < 0 || !url.includes('key=', mark) || /^\/(?:api|key)\//.test(url)) return url
  const kept: string[] = []
  for (const pair of url.slice(mark + 1).split('&')) {
    if (pair.startsWith('key=')) headers['x-goog-api-key'] ??= unescaped(pair.slice(4))
    else if (pair) kept.push(pair)
  }
  return url.slice(0, mark) + (kept.length > 0 ? `?${kept.join('&')}` : '')
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
