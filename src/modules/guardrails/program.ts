/** The module's program on a worker thread: patterns over long texts. */
import type { Program } from '../../core/program.ts'
import { type FindSpans, patternFinder } from './spans.ts'

const MOST_KEPT = 100

export const guardrails: Program = {
  start() {
    const finders = new Map<string, FindSpans>()
    return {
      find({ patterns, text }: { patterns: readonly string[]; text: string }) {
        const key = JSON.stringify(patterns)
        let find = finders.get(key)
        if (!find) {
          if (finders.size >= MOST_KEPT) finders.clear()
          find = patternFinder(patterns)
          finders.set(key, find)
        }
        return find(text)
      },
    }
  },
}
