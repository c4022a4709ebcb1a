/**
 * Names, places and organizations, by an external recognizer: the HTTP API of the Presidio analyzer. All texts of a request
 * go in one call. Its positions count code points, ours UTF-16 units.
 */
import type { Host } from '../../core/module.ts'
import type { Span } from './find.ts'
import type { Settings } from './settings.ts'

type Chosen = NonNullable<Settings['recognizer']>

const BETWEEN = '\n\n\n'
const MOST_BYTES = 16 * 1024 * 1024

/** Spans for each text. Throws if the recognizer does not answer as it should: the request must not go on unseen. */
export async function recognize(
  host: Pick<Host, 'call'>,
  chosen: Chosen,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<Span[][]> {
  const whole = texts.join(BETWEEN)
  const found: Span[][] = texts.map(() => [])
  if (whole.trim() === '') return found
  const answer = await host.call({
    method: 'POST',
    url: `${chosen.url.replace(/\/+$/, '')}/analyze`,
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: Buffer.from(
      JSON.stringify({
        text: whole,
        language: chosen.language,
        entities: chosen.entities,
        score_threshold: chosen.minScore,
      }),
    ),
    timeoutMs: chosen.timeoutMs,
    maxAnswerBytes: MOST_BYTES,
    signal,
  })
  if (answer.status !== 200) throw new Error(`the recognizer answered ${answer.status}`)
  const list: unknown = JSON.parse(answer.body.toString('utf8'))
  if (!Array.isArray(list)) throw new Error('the recognizer did not answer with a list')
  const units = unitsOf(whole)
  for (const item of list as readonly { entity_type?: unknown; start?: unknown; end?: unknown; score?: unknown }[]) {
    const { entity_type: entity, start, end, score } = item
    if (typeof entity !== 'string' || !Number.isInteger(start) || !Number.isInteger(end)) {
      throw new Error('the recognizer answered with something that is no span')
    }
    if ((typeof score === 'number' && score < chosen.minScore) || !chosen.entities.some((name) => name === entity))
      continue
    place(found, texts, { entity, start: units(start as number), end: units(end as number) })
  }
  for (const spans of found) spans.sort((a, b) => a.start - b.start || b.end - a.end)
  return found
}

/** A span may not reach over from one text into the next; what does is cut at the border. */
function place(found: Span[][], texts: readonly string[], { entity, start, end }: Span): void {
  let from = 0
  for (const [i, text] of texts.entries()) {
    const [s, e] = [Math.max(start - from, 0), Math.min(end - from, text.length)]
    if (s < e) found[i]?.push({ entity, start: s, end: e })
    from += text.length + BETWEEN.length
  }
}

/** From code points to UTF-16 units; the same where there are no surrogates. */
function unitsOf(text: string): (position: number) => number {
  const wide: number[] = []
  let points = 0
  for (let i = 0; i < text.length; i++, points++) {
    const code = text.charCodeAt(i)
    if (code < 0xd800 || code > 0xdbff) continue
    wide.push(points)
    i++
  }
  if (wide.length === 0) return (position) => position
  return (position) => {
    let low = 0
    let high = wide.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((wide[middle] as number) < position) low = middle + 1
      else high = middle
    }
    return position + low
  }
}
