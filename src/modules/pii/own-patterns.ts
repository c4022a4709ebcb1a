/**
 * Patterns of an administrator's own, in an engine that is linear whatever they say. It is slow, so long texts are left to
 * the module's worker thread.
 */
import { RE2JS } from 're2js'
import type { Span } from './find.ts'

export interface OwnPattern {
  readonly name: string
  readonly pattern: string
}
export type FindOwn = (text: string) => Span[]

/** From this size on a text is searched on the worker thread. */
export const LONG_TEXT = 8_192

/** Throws if the engine does not take a pattern. */
export function ownFinder(patterns: readonly OwnPattern[]): FindOwn {
  const compiled = patterns.map(({ name, pattern }) => ({ entity: name, regex: RE2JS.compile(pattern) }))
  return (text) => {
    const spans: Span[] = []
    for (const { entity, regex } of compiled) {
      const matcher = regex.matcher(text)
      while (matcher.find()) {
        const [start, end] = [matcher.start(), matcher.end()]
        if (end > start) spans.push({ entity, start, end })
      }
    }
    return spans.sort((a, b) => a.start - b.start || b.end - a.end)
  }
}

/** What is wrong with a pattern, in the engine's words; undefined if nothing. */
export function problemOf(pattern: string): string | undefined {
  try {
    RE2JS.compile(pattern)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
