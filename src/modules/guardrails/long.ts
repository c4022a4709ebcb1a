/** Long texts are looked at on the module's worker thread, so that nobody else waits for them. */
import type { Host } from '../../core/module.ts'
import type { Compiled } from './compiled.ts'
import { LONG_TEXT, type Span } from './spans.ts'

/** Rules whose work on a text is worth the way to another thread. */
const HEAVY = new Set(['regex', 'code', 'language', 'injection', 'topics', 'words', 'repetition', 'secrets'])
export const isLong = ({ rule }: Compiled, text: string): boolean => text.length >= LONG_TEXT && HEAVY.has(rule.type)

export function longSpans(host: Host, compiled: Compiled, text: string): readonly Span[] | Promise<readonly Span[]> {
  if (!compiled.finds) return []
  return isLong(compiled, text) ? host.worker.call<Span[]>('find', { rule: compiled.rule, text }) : compiled.finds(text)
}

export function longSight(
  host: Host,
  compiled: Compiled,
  text: string,
): string | undefined | Promise<string | undefined> {
  return isLong(compiled, text)
    ? host.worker.call<string | undefined>('look', { rule: compiled.rule, text })
    : compiled.looks?.(text)
}
