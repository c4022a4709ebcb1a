/** What a call to a target costs at an instant, compiled once a snapshot from the configuration and the catalog. */
import type { Catalog } from './catalog.ts'
import type { Target } from './exchange.ts'
import { NANOS_PER_DOLLAR, parseDollars } from './money.ts'
import type { Configuration, PriceConfiguration } from './store.ts'
import { type Price, type Rates, WHOLE_SHARE } from './usage.ts'

export interface Prices {
  /** Undefined: nobody knows. A price of zero is a price. */
  of(target: Pick<Target, 'upstream' | 'model'>, at: number): Price | undefined
  /** The largest output that the model takes, where the catalog knows it. */
  outputLimitOf(model: string): number | undefined
}

/** An administrator's price for `upstream/model` or `model` wins over the catalog's; the newest that has begun applies. */
export function compilePrices(configuration: Configuration, catalog: Catalog): Prices {
  const own = new Map<string, { from: number; price: Price }[]>()
  for (const [name, entries] of Object.entries(configuration.prices)) {
    own.set(
      name,
      entries.map((entry, i) => compilePrice(name, i, entry)).sort((a, b) => b.from - a.from),
    )
  }
  return {
    of({ upstream, model }, at) {
      if (own.size > 0) {
        const entries = own.get(`${upstream.id}/${model}`) ?? own.get(model)
        const found = entries?.find(({ from }) => from <= at)
        if (found) return found.price
      }
      const vendor = upstream.provider.catalog
      return vendor === undefined ? undefined : catalog.priceOf(vendor, model, at)
    },
    outputLimitOf: (model) => catalog.outputLimitOf(model),
  }
}

function compilePrice(name: string, index: number, entry: PriceConfiguration): { from: number; price: Price } {
  const perCall = entry.perCall && mapValues(entry.perCall, parseDollars)
  return {
    from: entry.from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(entry.from),
    price: {
      version: `override:${name}@${entry.from ?? index}`,
      rates: ratesOf(entry.rates),
      ...(entry.tiers
        ? { tiers: entry.tiers.map((t) => ({ aboveInputTokens: t.aboveInputTokens, rates: ratesOf(t.rates) })) }
        : {}),
      ...(entry.serviceTiers ? { serviceTiers: mapValues(entry.serviceTiers, shareOf) } : {}),
      ...(entry.perRequest === undefined ? {} : { perRequest: parseDollars(entry.perRequest) }),
      ...(perCall ? { perCall } : {}),
    },
  }
}

const ratesOf = (dollars: Readonly<Record<string, string>>): Rates => mapValues(dollars, parseDollars) as Rates
/** `0.5` → 5,000 ten-thousandths. */
const shareOf = (multiple: string): bigint => (parseDollars(multiple) * WHOLE_SHARE) / NANOS_PER_DOLLAR

const mapValues = <A, B>(from: Readonly<Record<string, A>>, f: (a: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(from).map(([k, v]) => [k, f(v)]))
