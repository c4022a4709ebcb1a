/**
 * One text asked through any endpoint of the data plane, and the text of what came back: for tests that must hold on every
 * route, whatever routes there will be. A route whose dialect is not known here fails the test that walks over them.
 */
import { ENDPOINTS, MODEL_PATHS, VERBS } from '../../src/http/endpoints.ts'
import type { Answer } from './index.ts'

export interface Asking {
  readonly name: string
  readonly stream: boolean
  /** Whether the scripted provider says back what was asked. */
  readonly echoes: boolean
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
