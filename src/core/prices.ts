/** What a call to a target costs at an instant, compiled once a snapshot from the configuration and the catalog. */
import { createHash } from 'node:crypto'
import type { Catalog } from './catalog.ts'
import type { Principal, Target } from './exchange.ts'
import { NANOS_PER_DOLLAR, parseDollars } from './money.ts'
import type { Configuration, PriceConfiguration } from './store.ts'
import { type Price, type Rates, WHOLE_SHARE } from './usage.ts'

export interface Prices {
  /** Undefined: nobody knows. A price of zero is a price. Without a caller it is the price that holds for everybody. */
  of(target: Pick<Target, 'upstream' | 'model' | 'paidByCaller'>, at: number, caller?: Principal): Price | undefined
  /** The largest output that the model takes, where the catalog knows it. */
  outputLimitOf(model: string): number | undefined
}

/** It is a price, so nothing is unpriced; rating history again leaves rows with it alone. */
export const PAID_BY_CALLER: Price = { version: 'paid-by-caller', rates: {} }

interface Own {
  readonly from: number
  readonly entry: PriceConfiguration
  readonly price: Price
}

/**
 * An administrator's price for `upstream/model` or `model` wins over the catalog's. Of several, one for the caller's key goes
 * before one for its organization, and that before one for everybody; then the newest that has begun applies.
 */
export function compilePrices(configuration: Configuration, catalog: Catalog): Prices {
  const own = new Map<string, Own[]>()
  for (const [name, entries] of Object.entries(configuration.prices)) {
    own.set(
      name,
      entries
        .map((entry): Own => ({ from: beginOf(entry), entry, price: compilePrice(name, entry) }))
        .sort((a, b) => precision(b.entry) - precision(a.entry) || b.from - a.from),
    )
  }
  return {
    of({ upstream, model, paidByCaller }, at, caller) {
      if (paidByCaller) return PAID_BY_CALLER
      if (own.size > 0) {
        const entries = own.get(`${upstream.id}/${model}`) ?? own.get(model)
        const found = entries?.find(({ from, entry }) => from <= at && holdsFor(entry, caller))
        if (found) return found.price
      }
      const vendor = upstream.provider.catalog
      return vendor === undefined ? undefined : catalog.priceOf(vendor, model, at)
    },
    outputLimitOf: (model) => catalog.outputLimitOf(model),
  }
}

const beginOf = ({ from }: PriceConfiguration): number =>
  from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(from)

const precision = ({ key, organization }: PriceConfiguration): number =>
  (key === undefined ? 0 : 2) + (organization === undefined ? 0 : 1)

function holdsFor({ key, organization }: PriceConfiguration, caller: Principal | undefined): boolean {
  if (key !== undefined && (caller?.kind !== 'key' || caller.id !== key)) return false
  return organization === undefined || caller?.organization === organization
}

export function compilePrice(name: string, entry: PriceConfiguration): Price {
  // Another content is another version, so that what stands on a ledger row never changes its meaning.
  const digest = createHash('sha256').update(JSON.stringify(entry)).digest('hex').slice(0, 12)
  const perCall = entry.perCall && mapValues(entry.perCall, parseDollars)
  return {
    version: `override:${name}@${entry.from ?? 'always'}#${digest}`,
    rates: ratesOf(entry.rates),
    ...(entry.tiers
      ? { tiers: entry.tiers.map((t) => ({ aboveInputTokens: t.aboveInputTokens, rates: ratesOf(t.rates) })) }
      : {}),
    ...(entry.serviceTiers ? { serviceTiers: mapValues(entry.serviceTiers, shareOf) } : {}),
    ...(entry.perRequest === undefined ? {} : { perRequest: parseDollars(entry.perRequest) }),
    ...(perCall ? { perCall } : {}),
  }
}

const ratesOf = (dollars: Readonly<Record<string, string>>): Rates => mapValues(dollars, parseDollars) as Rates
/** `0.5` → 5,000 ten-thousandths. */
const shareOf = (multiple: string): bigint => (parseDollars(multiple) * WHOLE_SHARE) / NANOS_PER_DOLLAR

const mapValues = <A, B>(from: Readonly<Record<string, A>>, f: (a: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(from).map(([k, v]) => [k, f(v)]))
