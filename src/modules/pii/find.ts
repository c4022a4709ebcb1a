/** Everything that the chosen detectors find in one text, without overlaps, in the text's own positions. */
import { type Detector, type Found, Subject, search } from './detector.ts'
import { fold } from './fold.ts'

export interface Span {
  readonly entity: string
  readonly start: number
  readonly end: number
}

export interface Finding {
  /** Placing of the text: escapes of JSON are resolved before detectors look. */
  readonly json?: boolean
  /** A reply: what a stream could not find is not looked for in a body either. */
  readonly reply?: boolean
}

export type Find = (text: string, how?: Finding) => Span[]

export function finder(detectors: readonly Detector[]): Find {
  const inRequests = detectors.map(search)
  const inReplies = detectors.filter((detector) => !detector.requestsOnly).map(search)
  return (text, { json = false, reply = false } = {}) => {
    const folded = fold(text, json)
    const subject = new Subject(folded.text)
    const found: Found[] = []
    for (const look of reply ? inReplies : inRequests) look(subject, found)
    return apart(found).map(({ entity, start, end }) => ({
      entity,
      start: folded.original(start),
      end: folded.original(end),
    }))
  }
}

/** Of finds that overlap the more certain stands, then the longer. */
export function apart<F extends Found>(found: F[]): F[] {
  if (found.length < 2) return found
  const best = [...found].sort(
    (a, b) => b.certainty - a.certainty || b.end - b.start - (a.end - a.start) || a.start - b.start,
  )
  const taken: F[] = []
  // Kept in the order of their places; spans that stand do not overlap, so a neighbor's ends decide.
  const starts: number[] = []
  for (const one of best) {
    let low = 0
    let high = starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((starts[middle] as number) < one.start) low = middle + 1
      else high = middle
    }
    const before = taken[low - 1]
    const after = taken[low]
    if ((before && before.end > one.start) || (after && after.start < one.end)) continue
    starts.splice(low, 0, one.start)
    taken.splice(low, 0, one)
  }
  return taken
}
