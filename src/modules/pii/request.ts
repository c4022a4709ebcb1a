/** Hides what is found in a request, and remembers for the reply what can be put back. */
import type { Exchange } from '../../core/exchange.ts'
import type { Host } from '../../core/module.ts'
import type { ModelRequest } from '../../core/request.ts'
import { eachText, mapTexts, type Place } from '../../core/texts.ts'
import { findEncoded } from './encoded.ts'
import type { Span } from './find.ts'
import { type FindOwn, LONG_TEXT } from './own-patterns.ts'
import type { Policy } from './policy.ts'
import { recognize } from './recognizer.ts'
import type { Settings } from './settings.ts'

/** How often which action was taken, by entity. */
export type Counts = Map<string, number>

export interface Hidden {
  readonly request: ModelRequest
  readonly originals: Map<string, string>
  readonly counts: Counts
  readonly blocked: ReadonlySet<string>
}

export class RequestHiding {
  readonly #policy: Policy
  readonly #host: Host
  readonly #chosen: Settings
  readonly #findOwn: FindOwn | undefined

  constructor(host: Host, chosen: Settings, policy: Policy, findOwn: FindOwn | undefined) {
    this.#host = host
    this.#chosen = chosen
    this.#policy = policy
    this.#findOwn = findOwn
  }

  hide(x: Exchange, request: ModelRequest): Hidden | Promise<Hidden> {
    const scope = x.principal?.scope ?? ''
    if (!this.#findOwn && !this.#chosen.recognizer) return this.#hideWith(request, scope, () => [])
    return this.#hideSlowly(x, request, scope)
  }

  /** With the finds of others: own patterns, which may run on the worker thread, and an external recognizer. */
  async #hideSlowly(x: Exchange, request: ModelRequest, scope: string): Promise<Hidden> {
    const texts: string[] = []
    const see = (text: string, place: Place): void => {
      if (this.#policy.looksAt(place)) texts.push(text)
    }
    eachText(request, see, this.#policy.looksAt('tools'))
    const { recognizer } = this.#chosen
    const named = recognizer ? await recognize(this.#host, recognizer, texts, x.signal) : texts.map((): Span[] => [])
    for (const [i, text] of texts.entries()) named[i]?.push(...(await this.#own(text)))
    let next = 0
    return this.#hideWith(request, scope, () => named[next++] ?? [])
  }

  async #own(text: string): Promise<Span[]> {
    if (!this.#findOwn) return []
    if (text.length < LONG_TEXT) return this.#findOwn(text)
    const patterns = this.#chosen.patterns.map(({ name, pattern }) => ({ name, pattern }))
    return this.#host.worker.call<Span[]>('find', { patterns, text })
  }

  #hideWith(request: ModelRequest, scope: string, others: () => readonly Span[]): Hidden {
    const originals = new Map<string, string>()
    const counts: Counts = new Map()
    const blocked = new Set<string>()
    const change = (text: string, place: Place): string =>
      this.#policy.looksAt(place) ? this.#text(text, others(), scope, originals, counts, blocked) : text
    const hidden = mapTexts(request, change, this.#policy.looksAt('tools'))
    return { request: hidden, originals, counts, blocked }
  }

  #text(
    text: string,
    others: readonly Span[],
    scope: string,
    originals: Map<string, string>,
    counts: Counts,
    blocked: Set<string>,
  ): string {
    const { find, actionOf, allowed, replacement } = this.#policy
    const spans = merged(find(text), [...findEncoded(text, find), ...others])
    if (spans.length === 0) return text
    let out = ''
    let at = 0
    for (const { entity, start, end } of spans) {
      const value = text.slice(start, end)
      const action = actionOf(entity)
      if (action === 'off' || allowed(value)) continue
      counts.set(`${entity} ${action}`, (counts.get(`${entity} ${action}`) ?? 0) + 1)
      if (action === 'block') blocked.add(entity)
      out += text.slice(at, start) + replacement(action, entity, value, scope, originals)
      at = end
    }
    return at === 0 ? text : out + text.slice(at)
  }
}

/** Ours stand; others are added where nothing stands yet. */
export function merged(ours: readonly Span[], others: readonly Span[]): readonly Span[] {
  if (others.length === 0) return ours
  const spans = [...ours]
  for (const other of others) {
    if (!spans.some((span) => span.start < other.end && span.end > other.start)) spans.push(other)
  }
  return spans.sort((a, b) => a.start - b.start)
}
