/**
 * Finds the price of a model at a moment: overrides of the administrator first, then the committed table with its
 * match rules, effective dates, daily windows and tiers. A model that the table does not price is `undefined`, never
 * zero; a price of zero is a price. Local servers are listed at zero (`local@0`), because nobody bills for them.
 */
import type { Bucket, Price, Rates } from '../core/usage.ts'
import { exactNames, matches } from './match.ts'
import type { ModelEntry, PriceData, PriceEntry, RateData } from './price-data.ts'

export interface PriceOverride {
  /** Only for this upstream; absent: for all. */
  readonly upstream?: string
  /** A whole model name, or a prefix that ends in `*`. Letter case does not matter. */
  readonly model: string
  /** Holds from this moment (ms since 1970); absent: since ever. */
  readonly from?: number
  readonly price: Price
}

export interface PriceList {
  /**
   * `catalog` is the provider's `catalog`, absent where no list price is known; `at` is in ms since 1970. The same
   * arguments give the same object, so that its version can stand for it.
   */
  priceOf(catalog: string | undefined, model: string, at: number, upstream?: string): Price | undefined
  /** The model ids one may ask this vendor for. */
  modelsOf(catalog: string): readonly string[]
  /** The catalogs that list this very name, the model's maker first. */
  makersOf(model: string): readonly string[]
}

interface Window {
  readonly fromMs: number
  readonly toMs: number
  readonly price: Price
}
/** What holds from a day on: one price, and others within daily windows. */
interface Regime {
  readonly from: number
  readonly price: Price
  readonly windows: readonly Window[]
}

const MOST_REMEMBERED = 10_000
const DAY_MS = 86_400_000

export function createPriceList(data: PriceData, overrides: readonly PriceOverride[] = []): PriceList {
  const entriesOf = memoize((catalog: string): readonly ModelEntry[] => {
    const own = Object.hasOwn(data.catalogs, catalog) ? data.catalogs[catalog] : undefined
    if (!own) return []
    const { of, only } = own
    if (of === undefined) return own.models ?? []
    return entriesOf(of).filter((entry) => !only || matches(only, entry.id.toLowerCase()))
  })
  const catalogOf = (catalog: string) => (entriesOf(catalog).length > 0 ? data.catalogs[catalog] : undefined)

  function find(catalog: string, name: string): { catalog: string; entry: ModelEntry } | undefined {
    for (const place of [catalog, ...(catalogOf(catalog)?.fallback ?? [])]) {
      const entry = entriesOf(place).find((candidate) => matches(candidate.match, name))
      if (entry) return { catalog: place, entry }
    }
    return undefined
  }

  const compiled = new Map<ModelEntry, readonly Regime[]>()
  const regimesOf = memoize((key: string): readonly Regime[] | undefined => {
    const [catalog = '', name = ''] = key.split('\n', 2)
    const found = find(catalog, name)
    if (!found?.entry.prices) return undefined
    const known = compiled.get(found.entry)
    if (known) return known
    const version = found.entry.version ?? `${data.source}@${data.version}:${found.catalog}/${found.entry.id}`
    const regimes = compile(found.entry.prices, version)
    compiled.set(found.entry, regimes)
    return regimes
  })

  const ordered = inOrderOfWeight(overrides)

  let catalogsByName: Map<string, Set<string>> | undefined
  function listedIn(name: string): ReadonlySet<string> {
    catalogsByName ??= indexNames(Object.keys(data.catalogs), entriesOf)
    return catalogsByName.get(name) ?? new Set()
  }
  const makersOfName = memoize((name: string): readonly string[] => {
    const makers = Object.keys(data.catalogs).filter((catalog) => {
      const makes = data.catalogs[catalog]?.makes
      if (!makes || !matches(makes, name)) return false
      const entry = entriesOf(catalog).find((candidate) => matches(candidate.match, name))
      return entry !== undefined && !entry.hidden
    })
    return [...new Set([...makers, ...listedIn(name)])]
  })

  return {
    priceOf(catalog, model, at, upstream) {
      const name = model.toLowerCase()
      const override = ordered.find((o) => applies(o, name, at, upstream))
      if (override) return override.price
      const regimes = catalog === undefined ? undefined : regimesOf(`${catalog}\n${name}`)
      return regimes && priceAt(regimes, at)
    },
    modelsOf: memoize((catalog: string) =>
      entriesOf(catalog).flatMap((entry) => (entry.hidden || entry.deprecated ? [] : [entry.id])),
    ),
    makersOf: (model) => makersOfName(model.toLowerCase()),
  }
}

function indexNames(catalogs: readonly string[], entriesOf: (catalog: string) => readonly ModelEntry[]) {
  const index = new Map<string, Set<string>>()
  for (const catalog of catalogs) {
    for (const entry of entriesOf(catalog)) {
      if (entry.hidden) continue
      for (const name of [entry.id.toLowerCase(), ...exactNames(entry.match)]) {
        const catalogsOfName = index.get(name)
        if (catalogsOfName) catalogsOfName.add(catalog)
        else index.set(name, new Set([catalog]))
      }
    }
  }
  return index
}

/** One upstream's before everyone's, a whole name before a prefix, a longer prefix before a shorter, the latest first. */
function inOrderOfWeight(overrides: readonly PriceOverride[]): readonly PriceOverride[] {
  const weight = (o: PriceOverride) => [o.upstream === undefined ? 0 : 1, o.model.endsWith('*') ? 0 : 1, o.model.length]
  return overrides
    .map((o) => ({ ...o, model: o.model.toLowerCase() }))
    .sort((a, b) => {
      const [x, y] = [weight(a), weight(b)]
      for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return (y[i] ?? 0) - (x[i] ?? 0)
      return (b.from ?? -Infinity) > (a.from ?? -Infinity) ? 1 : -1
    })
}

function applies(override: PriceOverride, name: string, at: number, upstream: string | undefined): boolean {
  if (override.upstream !== undefined && override.upstream !== upstream) return false
  if (override.from !== undefined && at < override.from) return false
  return override.model.endsWith('*') ? name.startsWith(override.model.slice(0, -1)) : name === override.model
}

/** Entries in the table's order: an undated or dated one opens a regime, windows belong to the one before them. */
function compile(entries: readonly PriceEntry[], version: string): readonly Regime[] {
  const regimes: { from: number; price: Price; windows: Window[] }[] = []
  let since = ''
  for (const entry of entries) {
    if (entry.window) {
      const [from, to] = entry.window
      const price = priceFrom(entry, `${version}${since}/${from}-${to}Z`)
      regimes.at(-1)?.windows.push({ fromMs: timeOfDayMs(from), toMs: timeOfDayMs(to), price })
    } else {
      since = entry.from ? `@${entry.from}` : ''
      const from = entry.from ? Date.parse(`${entry.from}T00:00:00Z`) : -Infinity
      regimes.push({ from, price: priceFrom(entry, version + since), windows: [] })
    }
  }
  return regimes
}

function priceAt(regimes: readonly Regime[], at: number): Price | undefined {
  const regime = regimes.findLast((candidate) => candidate.from <= at)
  if (!regime) return undefined
  const time = ((at % DAY_MS) + DAY_MS) % DAY_MS
  const within = ({ fromMs, toMs }: Window) =>
    fromMs <= toMs ? time >= fromMs && time < toMs : time >= fromMs || time < toMs
  return (regime.windows.findLast(within) ?? regime).price
}

function timeOfDayMs(text: string): number {
  const [hours, minutes] = text.split(':')
  return (Number(hours) * 60 + Number(minutes)) * 60_000
}

function priceFrom(entry: PriceEntry, version: string): Price {
  return {
    version,
    rates: ratesFrom(entry.rates),
    ...(entry.tiers && {
      tiers: entry.tiers.map((tier) => ({ aboveInputTokens: tier.above, rates: ratesFrom(tier.rates) })),
    }),
    ...(entry.perCall && {
      perCall: Object.fromEntries(Object.entries(entry.perCall).map(([name, nanos]) => [name, BigInt(nanos)])),
    }),
    ...(entry.perRequest !== undefined && { perRequest: BigInt(entry.perRequest) }),
  }
}

function ratesFrom(data: RateData): Rates {
  const rates: Partial<Record<Bucket, bigint>> = {}
  for (const [bucket, nanos] of Object.entries(data)) rates[bucket as Bucket] = BigInt(nanos)
  return rates
}

/** Names come from clients, so what is remembered is bounded; the oldest is forgotten first. */
function memoize<T>(make: (key: string) => T): (key: string) => T {
  const made = new Map<string, T>()
  return (key) => {
    if (made.has(key)) return made.get(key) as T
    const value = make(key)
    if (made.size >= MOST_REMEMBERED) made.delete(made.keys().next().value as string)
    made.set(key, value)
    return value
  }
}
