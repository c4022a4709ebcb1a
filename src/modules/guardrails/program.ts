/** The module's program on a worker thread: rules over long texts. */
import type { Program } from '../../core/program.ts'
import { type Looks, looksOf } from './looks.ts'
import type { Rule } from './settings.ts'
import { type FindSpans, findsOf } from './spans.ts'

const MOST_KEPT = 100

interface Ready {
  readonly finds: FindSpans | undefined
  readonly looks: Looks | undefined
}

export const guardrails: Program = {
  start() {
    const ready = new Map<string, Promise<Ready>>()
    const readyFor = (rule: Rule): Promise<Ready> => {
      const key = JSON.stringify(rule)
      let known = ready.get(key)
      if (!known) {
        if (ready.size >= MOST_KEPT) ready.clear()
        known = (async () => ({ finds: findsOf(rule), looks: await looksOf(rule) }))()
        ready.set(key, known)
      }
      return known
    }
    return {
      async find({ rule, text }: { rule: Rule; text: string }) {
        return (await readyFor(rule)).finds?.(text) ?? []
      },
      async look({ rule, text }: { rule: Rule; text: string }) {
        return (await readyFor(rule)).looks?.(text)
      },
    }
  },
}
