/**
 * Finds the list price of a model at a moment in the committed table: match rules, effective dates, daily windows and
 * tiers. A model that the table does not price is `undefined`, never zero; a price of zero is a price. Local servers
 * are listed at zero (`local@0`), because nobody bills for them.
 */
import type { Catalog } from '../core/catalog.ts'
import type { Bucket, Price, Rates } from '../core/usage.ts'
import { exactNames, matches } from './match.ts'
import type { ModelEntry, PriceData, PriceEntry, RateData } from './price-data.ts'

/** The same arguments give the same `Price` object; letter case in names does not matter. */
export type PriceList = Pick<Catalog, 'priceOf' | 'modelsOf' | 'makersOf'>

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
/** Longer than any model's name: not looked up, and so never remembered. */
const LONGEST_NAME = 512
const DAY_MS = 86_400_000

export function createPriceList(data: PriceData): PriceList {
  const entriesOf = memoize((catalog: string): readonly ModelEntry[] => {
    const own = Object.hasOwn(data.catalogs, catalog) ? data.catalogs[catalog] : undefined
    if (own?.of === undefined) return own?.models ?? []
    const { of, only } = own
    return entriesOf(of).filter((entry) => !only || matches(only, entry.id.toLowerCase()))
  })

  function find(catalog: string, name: string): { catalog: string; entry: ModelEntry } | undefined {
    if (!Object.hasOwn(data.catalogs, catalog)) return undefined
    for (const place of [catalog, ...(data.catalogs[catalog]?.fallback ?? [])]) {
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

  let catalogsByName: ReadonlyMap<string, ReadonlySet<string>> | undefined
  const makersOfName = memoize((name: string): readonly string[] => {
    const makers = Object.keys(data.catalogs).filter((catalog) => {
      const makes = data.catalogs[catalog]?.makes
      if (!makes || !matches(makes, name)) return false
      const entry = entriesOf(catalog).find((candidate) => matches(candidate.match, name))
      return entry !== undefined && !entry.hidden
    })
    catalogsByName ??= indexNames(Object.keys(data.catalogs), entriesOf)
    return [...new Set([...makers, ...(catalogsByName.get(name) ?? [])])]
  })

  return {
    priceOf(catalog, model, at) {
      if (model.length > LONGEST_NAME) return undefined
      const regimes = regimesOf(`${catalog}\n${model.toLowerCase()}`)
      return regimes && priceAt(regimes, at)
    },
    modelsOf: memoize((catalog: string) =>
      entriesOf(catalog).flatMap((entry) => (entry.deprecated ? [] : namesOf(entry).slice(0, 1))),
    ),
    makersOf: (model) => (model.length > LONGEST_NAME ? [] : makersOfName(model.toLowerCase())),
  }
}

/** What one may ask for: the id where it is a name (some are titles), and the names that the rule spells out. */
function namesOf({ id, match, hidden }: ModelEntry): readonly string[] {
  if (hidden) return []
  return matches(match, id.toLowerCase()) ? [id, ...exactNames(match)] : exactNames(match)
}

function indexNames(catalogs: readonly string[], entriesOf: (catalog: string) => readonly ModelEntry[]) {
  const index = new Map<string, Set<string>>()
  for (const catalog of catalogs) {
    for (const entry of entriesOf(catalog)) {
      for (const name of namesOf(entry)) {
        const key = name.toLowerCase()
        const listedIn = index.get(key)
        if (listedIn) listedIn.add(catalog)
        else index.set(key, new Set([catalog]))
      }
    }
  }
  return index
}

/**
 * Entries in the table's order: an undated or dated one opens a regime, and windows belong to the regime before them.
 * (The table's own reader lets a window hold before that date as well; its notes call that a limitation.)
 */
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
      const from = entry.from ? Date.parse(`${entry.from}T00:00:00Z`) : Number.NEGATIVE_INFINITY
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
    ...(entry.serviceTiers && { serviceTiers: inBigInts(entry.serviceTiers) }),
    ...(entry.perCall && {
      perCall: inBigInts(entry.perCall),
    }),
    ...(entry.perRequest !== undefined && { perRequest: BigInt(entry.perRequest) }),
  }
}

const inBigInts = (numbers: Readonly<Record<string, number>>): Record<string, bigint> =>
  Object.fromEntries(Object.entries(numbers).map(([name, n]) => [name, BigInt(n)]))

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
