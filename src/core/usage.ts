/**
 * What a call used, in buckets that never overlap, and what that costs under a dated price.
 * Providers count differently (OpenAI's input includes cache reads, Anthropic's does not): every dialect
 * subtracts until the buckets are disjoint, so that here a sum is a sum.
 */
import { divideRounded, type NanoUsd, ZERO } from './money.ts'

/** The priced buckets, in the order in which they are stored and shown. Units are tokens. */
export const BUCKETS = [
  'input',
  'cacheRead',
  'cacheWrite5m',
  'cacheWrite1h',
  'output',
  'reasoning',
  'imageInput',
  'imageOutput',
  'audioInput',
  'audioOutput',
] as const
export type Bucket = (typeof BUCKETS)[number]

/** Who counted. `estimated` also where only a part had to be estimated; `none` where nothing was used. */
export type UsageSource = 'provider' | 'estimated' | 'none'

export interface Usage extends Readonly<Partial<Record<Bucket, number>>> {
  readonly source: UsageSource
  /** Calls of the provider's own tools that carry a fee of their own, by the price's name for them. */
  readonly calls?: Readonly<Record<string, number>>
  /** How the vendor says that it served the call, where that changes the price: `flex`, `priority`, `batch`… */
  readonly serviceTier?: string
}

export const NO_USAGE: Usage = { source: 'none' }

export const INPUT_BUCKETS = ['input', 'cacheRead', 'cacheWrite5m', 'cacheWrite1h', 'imageInput', 'audioInput'] as const
export const OUTPUT_BUCKETS = ['output', 'reasoning', 'imageOutput', 'audioOutput'] as const
export const inputTokens = (usage: Usage): number => INPUT_BUCKETS.reduce((sum, b) => sum + (usage[b] ?? 0), 0)
export const outputTokens = (usage: Usage): number => OUTPUT_BUCKETS.reduce((sum, b) => sum + (usage[b] ?? 0), 0)

/** No request uses more than this of anything; a larger figure is a provider's (or an attacker's) mistake. */
export const MOST_TOKENS = 1_000_000_000

/** A count as a provider reported it → a whole number in 0…MOST_TOKENS; anything else counts as nothing. */
export function tokenCount(value: unknown): number {
  if (typeof value !== 'number' || !(value > 0)) return 0
  return value > MOST_TOKENS ? MOST_TOKENS : Math.round(value)
}

/** Tiers that everybody gets: they change no price. */
const USUAL_TIERS: ReadonlySet<string> = new Set(['', 'default', 'auto', 'standard', 'on_demand'])
/** A service tier as a vendor reported it, where it says something. */
export function serviceTierOf(value: unknown): { readonly serviceTier?: string } {
  if (typeof value !== 'string' || !/^[a-z][a-z0-9_-]{0,31}$/i.test(value)) return {}
  const tier = value.toLowerCase()
  return USUAL_TIERS.has(tier) ? {} : { serviceTier: tier }
}

/** What a bucket costs: nano-dollars per million tokens. */
export type Rates = Readonly<Partial<Record<Bucket, bigint>>>

export interface Price {
  /** Names the table and its date, e.g. `genai-prices@0.1.8:gpt-4o` or `override:12`. Written on each ledger row. */
  readonly version: string
  readonly rates: Rates
  /** Other rates for the whole request once its input exceeds a threshold; the highest that fits applies. */
  readonly tiers?: readonly { readonly aboveInputTokens: number; readonly rates: Rates }[]
  /** Ten-thousandths of the rates for tokens, by the service tier that served the call; any other pays them whole. */
  readonly serviceTiers?: Readonly<Record<string, bigint>>
  /** Nano-dollars per call of a provider's own tool. */
  readonly perCall?: Readonly<Record<string, bigint>>
  /** Nano-dollars per request. */
  readonly perRequest?: bigint
}

/** Nano-dollars per million tokens; what is not named is not capped. */
export interface PriceCap {
  readonly input?: bigint
  readonly output?: bigint
}

/** Whether a price stays under a cap. Where nobody knows the price, nobody can promise that. */
export function isWithin(price: Price | undefined, cap: PriceCap): boolean {
  if (!price) return false
  const over = (bucket: 'input' | 'output'): boolean => {
    const most = cap[bucket]
    return most !== undefined && rateOf(price.rates, price.rates, bucket) > most
  }
  return !over('input') && !over('output')
}

/** Where a table has no rate of its own for a bucket, the vendors charge it as this one. */
const CHARGED_AS: Readonly<Partial<Record<Bucket, Bucket>>> = {
  cacheRead: 'input',
  cacheWrite5m: 'input',
  cacheWrite1h: 'cacheWrite5m',
  reasoning: 'output',
  imageInput: 'input',
  imageOutput: 'output',
  audioInput: 'input',
  audioOutput: 'output',
}

function rateOf(rates: Rates, base: Rates, bucket: Bucket): bigint {
  for (let b: Bucket | undefined = bucket; b; b = CHARGED_AS[b]) {
    const rate = rates[b] ?? base[b]
    if (rate !== undefined) return rate
  }
  return 0n
}

export const WHOLE_SHARE = 10_000n

/** Nano-dollars, rounded once, half away from zero. */
export function costOf(usage: Usage, price: Price): NanoUsd {
  let rates = price.rates
  if (price.tiers) {
    const input = inputTokens(usage)
    let highest = -1
    for (const tier of price.tiers) {
      if (input > tier.aboveInputTokens && tier.aboveInputTokens > highest) {
        highest = tier.aboveInputTokens
        rates = tier.rates
      }
    }
  }
  let millionths = 0n
  for (const bucket of BUCKETS) {
    const tokens = usage[bucket]
    if (tokens) millionths += BigInt(tokens) * rateOf(rates, price.rates, bucket)
  }
  const share = usage.serviceTier === undefined ? undefined : price.serviceTiers?.[usage.serviceTier]
  let cost =
    share === undefined
      ? divideRounded(millionths, 1_000_000n)
      : divideRounded(millionths * share, 1_000_000n * WHOLE_SHARE)
  if (price.perRequest) cost += price.perRequest
  if (usage.calls && price.perCall) {
    for (const [name, count] of Object.entries(usage.calls)) cost += BigInt(count) * (price.perCall[name] ?? 0n)
  }
  return (cost === 0n ? ZERO : cost) as NanoUsd
}

export function addUsage(a: Usage, b: Usage): Usage {
  if (a.source === 'none') return b
  if (b.source === 'none') return a
  const sum: Partial<Record<Bucket, number>> & {
    source: UsageSource
    calls?: Record<string, number>
    serviceTier?: string
  } = {
    source: a.source === 'provider' && b.source === 'provider' ? 'provider' : 'estimated',
  }
  for (const bucket of BUCKETS) {
    const tokens = (a[bucket] ?? 0) + (b[bucket] ?? 0)
    if (tokens) sum[bucket] = tokens
  }
  if (a.calls || b.calls) {
    const calls: Record<string, number> = { ...a.calls }
    for (const [name, count] of Object.entries(b.calls ?? {})) calls[name] = (calls[name] ?? 0) + count
    sum.calls = calls
  }
  const serviceTier = b.serviceTier ?? a.serviceTier
  if (serviceTier !== undefined) sum.serviceTier = serviceTier
  return sum
}

/** Four bytes of text a token: the field's rule of thumb, used only where no provider told us. */
export const estimateTokens = (textBytes: number): number => Math.ceil(textBytes / 4)
