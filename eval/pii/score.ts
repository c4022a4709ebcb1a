/** Finds against labels: precision, recall and F1 of each entity, and what went wrong. */
import type { Labeled } from './generate.ts'

export type FindSpans = (
  text: string,
) => readonly { readonly entity: string; readonly start: number; readonly end: number }[]

export interface Score {
  readonly entity: string
  right: number
  missed: number
  falseAlarms: number
}
export const precision = (s: Score): number => (s.right + s.falseAlarms === 0 ? 1 : s.right / (s.right + s.falseAlarms))
export const recall = (s: Score): number => (s.right + s.missed === 0 ? 1 : s.right / (s.right + s.missed))
export const f1 = (s: Score): number => {
  const [p, r] = [precision(s), recall(s)]
  return p + r === 0 ? 0 : (2 * p * r) / (p + r)
}

export interface Mistake {
  readonly kind: 'missed' | 'false alarm'
  readonly entity: string
  readonly found: string
  readonly text: string
}

/** A label is found if a find of its entity covers it whole; a find is a false alarm if it touches no label of its entity. */
export function score(set: readonly Labeled[], find: FindSpans): { scores: Map<string, Score>; mistakes: Mistake[] } {
  const scores = new Map<string, Score>()
  const of = (entity: string): Score => {
    const known = scores.get(entity) ?? { entity, right: 0, missed: 0, falseAlarms: 0 }
    scores.set(entity, known)
    return known
  }
  const mistakes: Mistake[] = []
  for (const { text, spans } of set) {
    const found = find(text)
    for (const { entity, start, end } of spans) {
      if (found.some((f) => f.entity === entity && f.start <= start && f.end >= end)) of(entity).right++
      else {
        of(entity).missed++
        mistakes.push({ kind: 'missed', entity, found: text.slice(start, end), text })
      }
    }
    for (const { entity, start, end } of found) {
      if (spans.some((s) => s.entity === entity && s.start < end && s.end > start)) continue
      of(entity).falseAlarms++
      mistakes.push({ kind: 'false alarm', entity, found: text.slice(start, end), text })
    }
  }
  return { scores, mistakes }
}
