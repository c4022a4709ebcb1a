/** The rules over a request, in their order: a refusal, a request with places redacted, or notes. */
import type { Exchange } from '../../core/exchange.ts'
import type { Host } from '../../core/module.ts'
import type { ModelRequest } from '../../core/request.ts'
import { eachText, mapTexts, type Place } from '../../core/texts.ts'
import type { Background } from './background.ts'
import { type Compiled, evidence, fired, wholeAction } from './compiled.ts'
import { isLong, longSight, longSpans } from './long.ts'
import { skips } from './looks.ts'
import { ask, isRemote } from './remote/index.ts'
import { redacted, type Span } from './spans.ts'

const said = (texts: readonly string[], places: readonly Place[]): string[] =>
  texts.filter((_, i) => places[i] !== 'tools')

export class RequestCheck {
  readonly #host: Host
  readonly #rules: readonly Compiled[]
  readonly #later: readonly Compiled[]
  readonly #background: Background

  constructor(host: Host, rules: readonly Compiled[], background: Background) {
    this.#host = host
    this.#rules = rules.filter(({ rule }) => rule.timing === 'sync')
    this.#later = rules.filter(({ rule }) => rule.timing === 'async')
    this.#background = background
  }

  check(x: Exchange, request: ModelRequest): ModelRequest | Promise<ModelRequest> {
    const texts: string[] = []
    const places: Place[] = []
    eachText(request, (text, place) => {
      texts.push(text)
      places.push(place)
    })
    if (this.#later.length > 0) {
      this.#background.start(this.#later, x, {
        on: 'request',
        textsFor: ({ rule }) => texts.filter((_, at) => !skips(rule, places[at] as Place)),
        answers: [],
      })
    }
    const now = [...texts]
    const rest = (): ModelRequest => {
      let next = 0
      return mapTexts(request, () => now[next++] as string)
    }
    const slow = this.#rules.some((compiled) => isRemote(compiled.rule) || texts.some((text) => isLong(compiled, text)))
    if (slow) return this.#inTime(x, now, places).then(rest)
    for (const compiled of this.#rules) this.#atOnce(compiled, x, now, places)
    return rest()
  }

  async #inTime(x: Exchange, texts: string[], places: readonly Place[]): Promise<void> {
    const host = this.#host
    for (const compiled of this.#rules) {
      const { rule, finds, looks } = compiled
      if (isRemote(rule)) {
        const asked = said(texts, places)
        const answer = await ask(rule, { host, x, on: 'request', texts: asked, signal: x.signal })
        const { verdict, reason = '' } = answer
        if (verdict === 'allow' || verdict === 'fires') continue
        fired(host, x, compiled, verdict, reason)
        if (!compiled.acts) continue
        if (verdict === 'block') host.refuse('guardrail_blocked', { rule: rule.id, reason })
        if (verdict !== 'redact') continue
        const instead = answer.texts ?? []
        for (let i = 0, next = 0; i < texts.length && next < instead.length; i++) {
          if (places[i] !== 'tools') texts[i] = instead[next++] as string
        }
      } else if (finds || looks) {
        for (const [i, text] of texts.entries()) {
          if (skips(rule, places[i] as Place)) continue
          if (finds) texts[i] = this.#found(compiled, x, text, await longSpans(host, compiled, text))
          else if (this.#seen(compiled, x, await longSight(host, compiled, text))) break
        }
      } else this.#atOnce(compiled, x, texts, places)
    }
  }

  #atOnce(compiled: Compiled, x: Exchange, texts: string[], places: readonly Place[]): void {
    const { rule, finds, looks, judge } = compiled
    for (const [i, text] of finds || looks ? texts.entries() : []) {
      if (skips(rule, places[i] as Place)) continue
      if (finds) texts[i] = this.#found(compiled, x, text, finds(text))
      else if (this.#seen(compiled, x, looks?.(text))) break
    }
    // What is asked as a whole is what is said, not what tools there are.
    this.#seen(compiled, x, judge?.(said(texts, places), []))
  }

  /** Whether it fired. There is no place to redact in what is said as a whole. */
  #seen(compiled: Compiled, x: Exchange, reason: string | undefined): boolean {
    if (reason === undefined) return false
    const action = wholeAction(compiled)
    fired(this.#host, x, compiled, action, reason)
    if (action === 'block' && compiled.acts) {
      this.#host.refuse('guardrail_blocked', { rule: compiled.rule.id, reason })
    }
    return true
  }

  #found(compiled: Compiled, x: Exchange, text: string, spans: readonly Span[]): string {
    const [first] = spans
    if (!first) return text
    const { rule, acts } = compiled
    fired(this.#host, x, compiled, rule.action, evidence(text, first.start, first.end))
    if (!acts) return text
    if (rule.action === 'block') {
      this.#host.refuse('guardrail_blocked', { rule: rule.id, reason: 'the request holds what it denies' })
    }
    return rule.action === 'redact' ? redacted(text, spans) : text
  }
}
