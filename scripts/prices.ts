/**
 * Writes src/catalog/prices.data.json from the data of the development dependency `@pydantic/genai-prices` and from our
 * own additions (src/catalog/own-prices.data.json). Only the array of providers is taken out of the package's module;
 * its calculator and its updater are never run. `--check` fails if the committed table is not what would be written.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { runInNewContext } from 'node:vm'
import { matches } from '../src/catalog/match.ts'
import type { CatalogData, MatchRule, ModelEntry, PriceEntry, RateData } from '../src/catalog/price-data.ts'
import { BUCKETS, type Bucket } from '../src/core/usage.ts'

const PACKAGE = new URL('../node_modules/@pydantic/genai-prices/', import.meta.url)
const OWN = new URL('../src/catalog/own-prices.data.json', import.meta.url)
const TABLE = new URL('../src/catalog/prices.data.json', import.meta.url)

type SourceRate = number | { base: number; tiers: { start: number; price: number }[] }
interface SourcePrice {
  prices: Record<string, SourceRate>
  constraint?: { type: string; start_date?: string; start_time?: string; end_time?: string }
}
interface SourceModel {
  id: string
  match: MatchRule
  deprecated?: boolean
  prices: Record<string, SourceRate> | SourcePrice[]
}
interface SourceProvider {
  id: string
  model_match?: MatchRule
  fallback_model_providers?: string[]
  models: SourceModel[]
}
interface Own {
  date: string
  derived: { bucket: Bucket; times: number; of: Bucket; where: Bucket; model: MatchRule }[]
  /** What a service tier costs of the listed rates. */
  tiers: { catalogs: string[]; model?: MatchRule; shares: Record<string, string> }[]
  /** Fees for tools of the vendor's own that the source lacks, in dollars each. */
  fees: { catalog: string; model: MatchRule; perCall: Record<string, string> }[]
  free: { catalog?: string; model: MatchRule }[]
  hidden: { catalog: string; model: MatchRule }[]
  makes: Record<string, MatchRule>
  catalogs: Record<string, CatalogData>
}

/** Dollars per million tokens in the source → our bucket. What is not here is billed in something we do not count. */
const TOKEN_RATES: Readonly<Record<string, Bucket>> = {
  input_mtok: 'input',
  cache_read_mtok: 'cacheRead',
  cache_write_mtok: 'cacheWrite5m',
  cache_write_1h_mtok: 'cacheWrite1h',
  output_mtok: 'output',
  output_reasoning_mtok: 'reasoning',
  input_image_mtok: 'imageInput',
  output_image_mtok: 'imageOutput',
  input_audio_mtok: 'audioInput',
  output_audio_mtok: 'audioOutput',
}
/** Dollars per thousand calls → the name of the call. */
const CALL_FEES: Readonly<Record<string, string>> = {
  web_searches_kcount: 'web_search',
  storage_searches_kcount: 'file_search',
  code_executions_kcount: 'code_execution',
  social_searches_kcount: 'social_search',
}
const REQUEST_FEE = 'requests_kcount'

/**
 * Dollars, as the shortest decimal text of the number, → nano-dollars. Digits beyond the ninth place, which only
 * repeating fractions have, are rounded half up: a billionth of a dollar per million tokens.
 */
function nanos(dollars: number): bigint {
  const text = String(dollars)
  const match = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(text)
  if (!match) throw new Error(`${text} is no price`)
  const [, whole = '', fraction = '', exponent = '0'] = match
  const digits = BigInt(whole + fraction)
  const places = 9 + Number(exponent) - fraction.length
  if (places >= 0) return digits * 10n ** BigInt(places)
  const divisor = 10n ** BigInt(-places)
  return (digits + divisor / 2n) / divisor
}

/** A JSON number that no reader rounds. */
function safe(n: bigint): number {
  if (n > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error(`${n} is too large for a JSON number`)
  return Number(n)
}

function perThousand(dollars: number): number {
  const n = nanos(dollars)
  if (n % 1000n !== 0n) throw new Error(`${dollars} dollars per thousand is no whole number of nano-dollars each`)
  return safe(n / 1000n)
}

function withDerived(rates: Partial<Record<Bucket, number>>, own: Own, name: string): RateData {
  for (const rule of own.derived) {
    const of = rates[rule.of]
    if (of === undefined || rates[rule.where] === undefined || rates[rule.bucket] !== undefined) continue
    if (matches(rule.model, name)) rates[rule.bucket] = of * rule.times
  }
  return Object.fromEntries(BUCKETS.flatMap((bucket) => (rates[bucket] === undefined ? [] : [[bucket, rates[bucket]]])))
}

/** Undefined where nothing in it is billed in tokens or requests. */
function priceEntry(source: Record<string, SourceRate>, own: Own, name: string): PriceEntry | undefined {
  const rates: Partial<Record<Bucket, number>> = {}
  const tiers = new Map<number, Partial<Record<Bucket, number>>>()
  const perCall: Record<string, number> = {}
  let perRequest: number | undefined
  for (const [key, rate] of Object.entries(source)) {
    const bucket = TOKEN_RATES[key]
    const call = CALL_FEES[key]
    if (bucket) {
      rates[bucket] = safe(nanos(typeof rate === 'number' ? rate : rate.base))
      if (typeof rate === 'number') continue
      for (const { start, price } of rate.tiers) {
        const tier = tiers.get(start) ?? {}
        tier[bucket] = safe(nanos(price))
        tiers.set(start, tier)
      }
    } else if (typeof rate === 'number') {
      if (call) perCall[call] = perThousand(rate)
      if (key === REQUEST_FEE) perRequest = perThousand(rate)
    }
  }
  if (Object.keys(rates).length === 0 && perRequest === undefined) return undefined
  return {
    rates: withDerived(rates, own, name),
    ...(tiers.size > 0 && {
      tiers: [...tiers]
        .sort(([a], [b]) => a - b)
        .map(([above, tierRates]) => ({ above, rates: withDerived(tierRates, own, name) })),
    }),
    ...(Object.keys(perCall).length > 0 && { perCall }),
    ...(perRequest !== undefined && { perRequest }),
  }
}

/** Shares of service tiers, and fees: the first rule that fits says each. */
function besideRates(catalog: string, name: string, own: Own) {
  const shares: Record<string, number> = {}
  for (const rule of own.tiers) {
    if (!rule.catalogs.includes(catalog) || (rule.model && !matches(rule.model, name))) continue
    for (const [tier, share] of Object.entries(rule.shares)) shares[tier] ??= safe(nanos(Number(share)) / 100_000n)
  }
  const perCall: Record<string, number> = {}
  for (const rule of own.fees) {
    if (rule.catalog !== catalog || !matches(rule.model, name)) continue
    for (const [call, dollars] of Object.entries(rule.perCall)) perCall[call] ??= safe(nanos(Number(dollars)))
  }
  return {
    tiers: Object.keys(shares).length > 0 ? { serviceTiers: shares } : {},
    ...(Object.keys(perCall).length > 0 ? { perCall } : {}),
  }
}

function priceEntries(catalog: string, model: SourceModel, own: Own): PriceEntry[] | undefined {
  const conditional: SourcePrice[] = Array.isArray(model.prices) ? model.prices : [{ prices: model.prices }]
  const name = model.id.toLowerCase()
  const free = own.free.some((rule) => (rule.catalog ?? catalog) === catalog && matches(rule.model, name))
  const entries: PriceEntry[] = []
  let last = ''
  const beside = besideRates(catalog, name, own)
  for (const { prices, constraint } of conditional) {
    const stated = priceEntry(prices, own, name)
    const listed = stated ?? (free ? { rates: { input: 0, output: 0 } } : undefined)
    const entry = listed && {
      ...listed,
      ...beside.tiers,
      ...(beside.perCall ? { perCall: { ...beside.perCall, ...listed.perCall } } : {}),
    }
    if (!entry) return undefined
    if (constraint?.type === 'start_date' && constraint.start_date) {
      if (constraint.start_date <= last) throw new Error(`${catalog}/${model.id}: dates do not ascend`)
      last = constraint.start_date
      entries.push({ from: last, ...entry })
    } else if (constraint?.type === 'time_of_date' && constraint.start_time && constraint.end_time) {
      if (entries.length === 0) throw new Error(`${catalog}/${model.id}: a daily window stands first`)
      entries.push({ window: [minutes(constraint.start_time), minutes(constraint.end_time)], ...entry })
    } else if (constraint) throw new Error(`${catalog}/${model.id}: unknown constraint ${JSON.stringify(constraint)}`)
    else entries.push(entry)
  }
  return entries
}

/** "00:30:00Z" → "00:30" */
function minutes(time: string): string {
  const match = /^(\d\d:\d\d):00Z$/.exec(time)
  if (!match?.[1]) throw new Error(`${time} is no whole minute in UTC`)
  return match[1]
}

function lowered(rule: MatchRule): MatchRule {
  if ('or' in rule) return rule.or.length === 1 ? lowered(rule.or[0] as MatchRule) : { or: rule.or.map(lowered) }
  if ('and' in rule) return { and: rule.and.map(lowered) }
  if ('regex' in rule) return rule
  const [kind, text] = Object.entries(rule)[0] as [string, string]
  return { [kind]: text.toLowerCase() } as unknown as MatchRule
}

function modelEntry(catalog: string, model: SourceModel, own: Own): ModelEntry {
  const name = model.id.toLowerCase()
  const hidden = name.endsWith('-') || own.hidden.some((r) => r.catalog === catalog && matches(r.model, name))
  const prices = priceEntries(catalog, model, own)
  return {
    id: model.id,
    ...(model.deprecated && { deprecated: true }),
    ...(hidden && { hidden }),
    match: lowered(model.match),
    ...(prices && { prices }),
  }
}

function catalogs(providers: readonly SourceProvider[], own: Own): [string, CatalogData][] {
  const converted = providers.map((provider): [string, CatalogData] => {
    const rules = [provider.model_match, own.makes[provider.id]].flatMap((rule) => (rule ? [lowered(rule)] : []))
    return [
      provider.id,
      {
        ...(rules[0] && { makes: rules[1] ? { or: rules } : rules[0] }),
        ...(provider.fallback_model_providers && { fallback: provider.fallback_model_providers }),
        models: provider.models.map((model) => modelEntry(provider.id, model, own)),
      },
    ]
  })
  for (const [id, catalog] of Object.entries(own.catalogs)) {
    const makes = own.makes[id]
    converted.push([id, { ...(makes && { makes }), ...catalog }])
  }
  return converted.sort(([a], [b]) => (a < b ? -1 : 1))
}

/** One line per model, so that a new version of the table reads as a list of what changed. */
function layout(head: Readonly<Record<string, string>>, all: readonly [string, CatalogData][]): string {
  const blocks = all.map(([id, { models, ...rest }]) => {
    const fields = Object.entries(rest).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
    if (models) fields.push(`"models":[\n${models.map((model) => JSON.stringify(model)).join(',\n')}\n]`)
    return `${JSON.stringify(id)}:{${fields.join(',')}}`
  })
  const top = Object.entries(head).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)},\n`)
  return `{\n${top.join('')}"catalogs":{\n${blocks.join(',\n')}\n}}\n`
}

/** The one array literal at the top of the package's module, evaluated alone: it holds no code. */
function sourceProviders(): SourceProvider[] {
  const module = readFileSync(new URL('dist/index.js', PACKAGE), 'utf8')
  const literal = /^const \w+ = (\[\n[\s\S]*?\n\])[,;]/.exec(module)?.[1]
  if (!literal)
    throw new Error('The price package no longer starts with its list of providers; adapt scripts/prices.ts')
  return runInNewContext(`(${literal})`, Object.create(null), { timeout: 5000 }) as SourceProvider[]
}

const dateIn = (text: string): string | undefined => /^"date":"([\d-]+)"/m.exec(text)?.[1]

function table(date: string): string {
  const own = JSON.parse(readFileSync(OWN, 'utf8')) as Own
  const { version } = JSON.parse(readFileSync(new URL('package.json', PACKAGE), 'utf8')) as { version: string }
  const head = { source: 'genai-prices', version, date, ownDate: own.date, license: 'MIT, Pydantic Services Inc.' }
  return layout(head, catalogs(sourceProviders(), own))
}

let committed = ''
try {
  committed = readFileSync(TABLE, 'utf8')
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}
const same = committed !== '' && table(dateIn(committed) ?? '') === committed
if (process.argv.includes('--check')) {
  if (!same) {
    console.error('src/catalog/prices.data.json is not what scripts/prices.ts writes; run: node scripts/prices.ts')
    process.exitCode = 1
  }
} else if (!same) {
  writeFileSync(TABLE, table(new Date().toISOString().slice(0, 10)))
}
