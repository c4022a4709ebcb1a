/**
 * The worker thread that counts tokens. A text without a gap would take the tokenizer quadratic time, and is cut; of what
 * is very long a part stands for the whole.
 */
import { parentPort } from 'node:worker_threads'
import { countTokens as cl100k } from 'gpt-tokenizer/encoding/cl100k_base'
import { countTokens as o200k } from 'gpt-tokenizer/encoding/o200k_base'

export interface CountJob {
  readonly id: number
  readonly encoding: 'o200k' | 'cl100k'
  readonly texts: readonly string[]
}

/** Longer than any word of a language; data in base64 has such runs, and hardly notices a cut. */
const LONGEST_RUN = 512
const RUN = new RegExp(`\\S{${LONGEST_RUN},}`)
const CUTS = new RegExp(`\\S{1,${LONGEST_RUN}}|\\s+`, 'g')
/** About two million tokens, which is more than any model reads. */
const MOST_CHARACTERS = 8_000_000
const COUNTERS = { cl100k, o200k }
// Nothing in a text is a control token here: it is counted as the text that it is.
const AS_TEXT = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() }

export function countTexts({ encoding, texts }: Omit<CountJob, 'id'>): number {
  const count = COUNTERS[encoding]
  let tokens = 0
  let read = 0
  let whole = 0
  for (const text of texts) {
    whole += text.length
    const part = text.slice(0, Math.max(0, MOST_CHARACTERS - read))
    read += part.length
    if (part === '') continue
    if (RUN.test(part)) for (const [piece] of part.matchAll(CUTS)) tokens += count(piece, AS_TEXT)
    else tokens += count(part, AS_TEXT)
  }
  return read < whole ? Math.round((tokens * whole) / read) : tokens
}

parentPort?.on('message', ({ id, ...job }: CountJob) => {
  parentPort?.postMessage({ id, tokens: countTexts(job) })
})
