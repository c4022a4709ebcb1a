/** The module's program on a worker thread: own patterns over long texts. */
import type { Program } from '../../core/program.ts'
import { type FindOwn, type OwnPattern, ownFinder } from './own-patterns.ts'

export const pii: Program = {
  start() {
    const finders = new Map<string, FindOwn>()
    return {
      find({ patterns, text }: { patterns: readonly OwnPattern[]; text: string }) {
        const key = JSON.stringify(patterns)
        let find = finders.get(key)
        if (!find) {
          if (finders.size > 100) finders.clear()
          find = ownFinder(patterns)
          finders.set(key, find)
        }
        return find(text)
      },
    }
  },
}
