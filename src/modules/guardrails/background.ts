/** Rules that nobody waits for: they look when the exchange has gone on, and what they find is only reported. */
import type { Exchange } from '../../core/exchange.ts'
import type { Host } from '../../core/module.ts'
import { type Compiled, evidence, fired, wholeAction } from './compiled.ts'
import { longSight, longSpans } from './long.ts'
import { ask, isRemote } from './remote/index.ts'

/** A slow checker must not become a queue of its own. */
const MOST_RUNNING = 200

/** What a rule looks at: the texts it may see, and of a reply the answers by choice. */
export interface Seen {
  readonly on: 'request' | 'reply'
  textsFor(compiled: Compiled): readonly string[]
  readonly answers: readonly string[]
}

export class Background {
  readonly #host: Host
  #running = 0

  constructor(host: Host) {
    this.#host = host
  }

  start(rules: readonly Compiled[], x: Exchange, seen: Seen): void {
    for (const compiled of rules) {
      if (this.#running >= MOST_RUNNING) {
        this.#host.metrics.counter('stockyard_guardrails_skipped_total', 'Async checks not made: too many ran.').add()
        continue
      }
      this.#running++
      setImmediate(() => {
        this.#report(compiled, x, seen)
          .catch((error) => this.#host.log.warn(`the guardrail ${compiled.rule.id} failed`, { error: String(error) }))
          .finally(() => this.#running--)
      })
    }
  }

  async #report(compiled: Compiled, x: Exchange, seen: Seen): Promise<void> {
    const { rule, finds, looks, judge } = compiled
    const texts = seen.textsFor(compiled)
    const host = this.#host
    if (isRemote(rule)) {
      const { verdict, reason = '' } = await ask(rule, { host, x, on: seen.on, texts })
      if (verdict !== 'allow') fired(host, x, compiled, verdict, reason)
      return
    }
    for (const text of finds || looks ? texts : []) {
      const [first] = finds ? await longSpans(host, compiled, text) : []
      if (first) return fired(host, x, compiled, rule.action, evidence(text, first.start, first.end))
      const sight = looks && (await longSight(host, compiled, text))
      if (sight !== undefined) return fired(host, x, compiled, wholeAction(compiled), sight)
    }
    const reason = judge?.(texts, seen.answers)
    if (reason !== undefined) fired(host, x, compiled, wholeAction(compiled), reason)
  }
}
