/**
 * Who is charged what: the terms of a team, else of its organization, that hold at an instant. A charge is computed when its
 * row is written and stands on it, with the terms' id, so that it can be computed again from what stands there.
 */
import type { Terms } from '../../core/directory.ts'
import type { Host } from '../../core/module.ts'
import { divideRounded, type NanoUsd, nanoUsdOf, ZERO } from '../../core/money.ts'
import { compilePrice, PAID_BY_CALLER } from '../../core/prices.ts'
import type { AdjustmentRow, Charge, ClosedRow } from '../../core/store.ts'
import { costOf, type Price } from '../../core/usage.ts'

/** A fraction, so that a markup is exact whatever its decimals. */
interface Ratio {
  readonly numerator: bigint
  readonly denominator: bigint
}

export interface Compiled {
  readonly id: string
  /** `organization:acme` or `team:ml`. */
  readonly account: string
  readonly terms: Terms
  readonly share: Ratio
  readonly prices: ReadonlyMap<string, Price>
}

/** What a call is called by in a price list. */
interface Called {
  readonly model: string
  readonly upstream: string
  readonly upstreamModel: string
}

/** "12.5" percent → 1125/1000. */
export function shareOf(markup = '0'): Ratio {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(markup)
  if (!match) throw new RangeError(`"${markup}" is no percentage`)
  const [, sign, whole, decimals = ''] = match
  const scale = 10n ** BigInt(decimals.length)
  const percent = BigInt(`${whole}${decimals}`) * (sign ? -1n : 1n)
  return { numerator: 100n * scale + percent, denominator: 100n * scale }
}

export const marked = (cost: bigint, { numerator, denominator }: Ratio): NanoUsd =>
  nanoUsdOf(divideRounded(cost * numerator, denominator))

export const priceFor = ({ prices }: Compiled, { model, upstream, upstreamModel }: Called): Price | undefined =>
  prices.size === 0
    ? undefined
    : (prices.get(`${upstream}/${upstreamModel}`) ?? prices.get(model) ?? prices.get(upstreamModel))

export class TermsBook {
  readonly #directory: Host['directory']
  readonly #compiled = new WeakMap<Terms, Compiled>()
  /** The newest first; by the list that the directory keeps, which is another one after a change. */
  readonly #sorted = new WeakMap<readonly Terms[], readonly Compiled[]>()

  constructor(directory: Host['directory']) {
    this.#directory = directory
  }

  /** Undefined: nobody is charged. */
  inForce(organization: string | undefined, team: string | undefined, at: number): Compiled | undefined {
    const own = team === undefined ? undefined : this.#at(`team:${team}`, at)
    const found = own ?? (organization === undefined ? undefined : this.#at(`organization:${organization}`, at))
    return found?.terms.payment === 'none' ? undefined : found
  }

  /** All that ever held there, the newest first. */
  all(account: string): readonly Compiled[] {
    const rows = this.#directory.figures('terms', account)
    let sorted = this.#sorted.get(rows)
    if (!sorted) {
      sorted = [...rows].sort((a, b) => b.from - a.from).map((row) => this.#compile(row))
      this.#sorted.set(rows, sorted)
    }
    return sorted
  }

  byId(id: string): Compiled | undefined {
    const row = this.#directory.get('terms', id)
    return row && this.#compile(row)
  }

  /** Every place that has terms. */
  accounts(): string[] {
    const found = new Set<string>()
    for (let after: string | undefined; ; ) {
      const page = this.#directory.list('terms', { limit: PAGE, ...(after === undefined ? {} : { after }) })
      for (const row of page) found.add(accountOf(row))
      if (page.length < PAGE) return [...found].sort()
      after = page.at(-1)?.id
    }
  }

  #at(account: string, at: number): Compiled | undefined {
    return this.all(account).find(({ terms }) => terms.from <= at)
  }

  #compile(row: Terms): Compiled {
    let compiled = this.#compiled.get(row)
    if (!compiled) {
      compiled = {
        id: row.id,
        account: accountOf(row),
        terms: row,
        share: shareOf(row.markup),
        prices: new Map(Object.entries(row.prices ?? {}).map(([name, price]) => [name, compilePrice(name, price)])),
      }
      this.#compiled.set(row, compiled)
    }
    return compiled
  }
}
const PAGE = 1_000

const accountOf = ({ scope }: Terms): string =>
  scope.team === undefined ? `organization:${scope.organization}` : `team:${scope.team}`

/** What a row is charged; undefined: its caller is not charged at all. What was held for a crash is nobody's debt. */
export function chargeOf(row: ClosedRow | AdjustmentRow, book: TermsBook): Charge | undefined {
  if (row.kind === 'adjustment') return correction(row, book)
  const found = book.inForce(row.organization, row.team, row.at)
  if (!found || row.outcome === 'in-doubt') return undefined
  if (!isDelivered(row) && found.terms.failed !== true) return { charge: ZERO, terms: found.id }
  if (row.priceVersion === PAID_BY_CALLER.version) return { charge: ZERO, terms: found.id }
  const own = priceFor(found, row)
  if (own) return { charge: row.usage.source === 'none' ? ZERO : costOf(row.usage, own), terms: found.id }
  return { charge: marked(row.cost, found.share), terms: found.id }
}

/** By the terms of what it corrects, so that both together are what the corrected cost comes to. */
function correction(row: AdjustmentRow, book: TermsBook): Charge | undefined {
  const { corrects } = row
  const found = corrects && book.byId(corrects.terms)
  if (!found) return undefined
  const free = (corrects.outcome === 'failed' && found.terms.failed !== true) || priceFor(found, row) !== undefined
  if (free) return { charge: ZERO, terms: found.id }
  const after = marked(corrects.cost + row.cost, found.share)
  return { charge: nanoUsdOf(after - marked(corrects.cost, found.share)), terms: found.id }
}

/** Of two calls that raced, the one that lost reached nobody. */
const isDelivered = ({ outcome, reason }: ClosedRow): boolean => outcome !== 'failed' && reason !== 'superseded'
