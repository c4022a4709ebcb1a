/**
 * One text asked through any endpoint of the data plane, and the text of what came back: for tests that must hold on every
 * route, whatever routes there will be. A route whose dialect is not known here fails the test that walks over them.
 */
import { ENDPOINTS, MODEL_PATHS, VERBS } from '../../src/http/endpoints.ts'
import type { Answer } from './index.ts'

/** A multipart body of fields, and a file where one is needed. */
export function formOf(
  fields: Readonly<Record<string, string>>,
  file?: string,
): { body: Buffer; headers: Record<string, string> } {
  const boundary = 'a-boundary-of-this-test'
  const parts = Object.entries(fields).map(
    ([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  )
  if (file !== undefined) {
    parts.push(
      `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: application/octet-stream\r\n\r\n${file}\r\n`,
    )
  }
  return {
    body: Buffer.from(`${parts.join('')}--${boundary}--\r\n`),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  }
}

/** What is only relayed: a request with a text for each path, by the dialect that has it. */
export const RELAYED: Readonly<
  Record<string, readonly { path: string; make(text: string): { body: unknown; headers?: Record<string, string> } }[]>
> = {
  'openai-images': [
    { path: '/v1/images/generations', make: (prompt) => ({ body: { model: 'openai/gpt-image-1', prompt } }) },
    { path: '/v1/images/edits', make: (prompt) => formOf({ model: 'openai/gpt-image-1', prompt }, 'RIFF') },
  ],
  'openai-audio': [
    { path: '/v1/audio/speech', make: (input) => ({ body: { model: 'openai/tts-1', voice: 'alloy', input } }) },
    { path: '/v1/audio/transcriptions', make: (prompt) => formOf({ model: 'openai/whisper-1', prompt }, 'RIFF') },
  ],
  'openai-moderations': [
    { path: '/v1/moderations', make: (input) => ({ body: { model: 'openai/omni-moderation-latest', input } }) },
  ],
  'openai-objects': [
    { path: '/v1/vector_stores', make: (name) => ({ body: { name } }) },
    {
      path: '/v1/conversations',
      make: (content) => ({ body: { items: [{ type: 'message', role: 'user', content }] } }),
    },
  ],
  'anthropic-batches': [
    {
      path: '/v1/messages/batches',
      make: (content) => ({
        body: { requests: [{ custom_id: 'a', params: { model: 'x', messages: [{ role: 'user', content }] } }] },
      }),
    },
  ],
  'gemini-objects': [
    {
      path: '/gemini/v1beta/cachedContents',
      make: (text) => ({ body: { model: 'models/gemini-2.5-flash', contents: [{ role: 'user', parts: [{ text }] }] } }),
    },
  ],
  'openai-compaction': [
    { path: '/v1/responses/compact', make: (input) => ({ body: { model: 'openai/gpt-5', input } }) },
  ],
  native: [
    {
      path: '/openai/chat/completions',
      make: (content) => ({ body: { model: 'gpt-4o-mini', messages: [{ role: 'user', content }] } }),
    },
  ],
}

export interface Asking {
  readonly name: string
  readonly stream: boolean
  /** Whether the scripted provider says back what was asked. */
  readonly echoes: boolean
  /** A model that is asked there, and whether the scripted provider answers it. */
  readonly model: string
  readonly answers: boolean
  path(model: string): string
  body(model: string, text: string): object
  /** All text of the answer, however it came. */
  said(answer: Answer): string
}

type Words = (value: unknown) => string
/** All strings under fields that carry a reply's text. */
const wordsUnder =
  (...names: readonly string[]): Words =>
  (value) => {
    if (Array.isArray(value)) return value.map(wordsUnder(...names)).join('')
    if (value === null || typeof value !== 'object') return ''
    return Object.entries(value)
      .map(([name, field]) => (names.includes(name) && typeof field === 'string' ? field : wordsUnder(...names)(field)))
      .join('')
  }

interface Sample {
  readonly streams: boolean
  readonly echoes: boolean
  readonly model?: string
  body(model: string, text: string): object
  readonly words: Words
  /** Of a stream's events those that repeat what others said. */
  readonly repeats?: RegExp
}

const SAMPLES: Readonly<Record<string, Sample>> = {
  'openai-chat': {
    streams: true,
    echoes: true,
    body: (model, text) => ({ model, messages: [{ role: 'user', content: text }] }),
    words: wordsUnder('content'),
  },
  'openai-completions': {
    streams: true,
    echoes: true,
    body: (model, text) => ({ model, prompt: text }),
    words: wordsUnder('text'),
  },
  'openai-embeddings': {
    streams: false,
    echoes: false,
    body: (model, text) => ({ model, input: text }),
    words: () => '',
  },
  'jina-rerank': {
    streams: false,
    echoes: false,
    model: 'custom/ranker',
    body: (model, text) => ({ model, query: text, documents: ['one', text] }),
    words: () => '',
  },
  'cohere-rerank': {
    streams: false,
    echoes: false,
    model: 'custom/ranker',
    body: (model, text) => ({ model, query: text, documents: ['one', text] }),
    words: () => '',
  },
  'openai-responses': {
    streams: true,
    echoes: true,
    body: (model, text) => ({ model, input: [{ role: 'user', content: [{ type: 'input_text', text }] }] }),
    words: wordsUnder('text', 'delta'),
    repeats: /\.(?:done|completed|added|created|in_progress)$/,
  },
  'anthropic-messages': {
    streams: true,
    echoes: true,
    body: (model, text) => ({ model, max_tokens: 500, messages: [{ role: 'user', content: text }] }),
    words: wordsUnder('text'),
  },
  'gemini-generate': {
    streams: true,
    echoes: true,
    body: (_, text) => ({ contents: [{ role: 'user', parts: [{ text }] }] }),
    words: wordsUnder('text'),
  },
  'gemini-embed-content': {
    streams: false,
    echoes: false,
    body: (_, text) => ({ content: { parts: [{ text }] } }),
    words: () => '',
  },
}

/** The upstreams of the scripted provider that these requests are asked of. */
export const ASKED = { upstreams: { openai: 'openai', custom: 'custom', anthropic: 'anthropic', gemini: 'gemini' } }

/** Every route, streamed and not. Throws where a dialect has no sample: it must get one. */
export function everyRoute(): Asking[] {
  const asking = (dialect: string, stream: boolean, path: (model: string) => string): Asking => {
    const sample = SAMPLES[dialect]
    if (!sample) throw new Error(`test/running/asking.ts knows no request in the dialect ${dialect}`)
    const repeats = (event: string): boolean =>
      sample.repeats?.test((JSON.parse(event) as { type?: string }).type ?? '') ?? false
    return {
      name: `${path('…')}${stream ? ' streamed' : ''}`,
      stream,
      echoes: sample.echoes,
      model: sample.model ?? 'openai/gpt-4o-mini',
      answers: sample.model === undefined,
      path,
      body: (model, text) => ({
        ...sample.body(model, text),
        ...(stream && !path('…').includes(':') ? { stream } : {}),
      }),
      said: (answer) =>
        answer.json
          ? sample.words(answer.json)
          : answer.data
              .filter((event) => event !== '[DONE]' && !repeats(event))
              .map((event) => sample.words(JSON.parse(event)))
              .join(''),
    }
  }
  const fixed = ENDPOINTS.flatMap(({ path, dialect }) =>
    (SAMPLES[dialect]?.streams === false ? [false] : [false, true]).map((stream) =>
      asking(dialect, stream, () => path),
    ),
  )
  const [models] = MODEL_PATHS
  // What only counts answers with no text.
  const verbs = Object.entries(VERBS).filter(([, { counting }]) => !counting)
  const named = verbs.map(([verb, { dialect, stream = false }]) =>
    asking(dialect, stream, (model) => `${models.path.replace('*', `${model}:${verb}`)}${stream ? '?alt=sse' : ''}`),
  )
  return [...fixed, ...named]
}
