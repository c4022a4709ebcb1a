/** What a check that is made elsewhere says, and the contract of one. */
import type { Exchange } from '../../../core/exchange.ts'
import type { Host } from '../../../core/module.ts'

/** `fires` leaves what happens to the rule's own action; the others are the checker's word. */
export interface Verdict {
  readonly verdict: 'allow' | 'block' | 'redact' | 'flag' | 'fires'
  /** Never the text itself. */
  readonly reason?: string
  /** What can stand instead: as many texts as were sent. */
  readonly texts?: readonly string[]
}

export interface Asked {
  readonly host: Host
  readonly x: Exchange
  readonly on: 'request' | 'reply'
  readonly texts: readonly string[]
  /** Absent: the exchange does not wait for it, and may be over before it is answered. */
  readonly signal?: AbortSignal
}

/** Rejects when there is no verdict to be had; the rule's `fail` says what that means. */
export type Ask<Rule> = (rule: Rule, asked: Asked) => Promise<Verdict>

export const ALLOW: Verdict = { verdict: 'allow' }
const MOST_BYTES = 32 * 1024 * 1024

export interface Posting {
  readonly url: string
  /** An upstream whose account is used: the URL is a path there. */
  readonly upstream?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
  readonly timeoutMs: number
}

/** The JSON that a check answers with; rejects on anything but a 200 with an object. */
export async function post(by: string, { host, signal }: Asked, posting: Posting): Promise<Record<string, unknown>> {
  const { body, headers, ...to } = posting
  const answer = await host.call({
    ...to,
    headers: { 'content-type': 'application/json', accept: 'application/json', ...headers },
    body: Buffer.from(body),
    maxAnswerBytes: MOST_BYTES,
    ...(signal ? { signal } : {}),
  })
  if (answer.status !== 200) throw new Error(`${by} answered ${answer.status}`)
  const said = JSON.parse(answer.body.toString('utf8')) as unknown
  if (said === null || typeof said !== 'object' || Array.isArray(said)) throw new Error(`${by} answered with no object`)
  return said as Record<string, unknown>
}

/**
 * Texts in pieces of at most so many characters, cut at spaces where there are some. A checker that takes only short texts is
 * asked more often; with more than `most` pieces it is not asked at all, since a part would say nothing of the whole.
 */
export function pieces(texts: readonly string[], length: number, most: number): string[] {
  const out: string[] = []
  for (const text of texts) {
    for (let at = 0; at < text.length; ) {
      let end = Math.min(text.length, at + length)
      if (end < text.length) {
        const space = text.lastIndexOf(' ', end)
        if (space > at + length / 2) end = space + 1
        else if (/[\ud800-\udbff]/.test(text[end - 1] as string)) end--
      }
      out.push(text.slice(at, end))
      if (out.length > most) throw new Error(`the text is longer than ${most} pieces of ${length} characters`)
      at = end
    }
  }
  return out
}

/** Of an answer that may be anything: the objects in a list. */
export const objects = (value: unknown): readonly Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter((item) => item !== null && typeof item === 'object' && !Array.isArray(item)) : []
