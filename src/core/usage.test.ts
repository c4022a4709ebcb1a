import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatDollars } from './money.ts'
import {
  addUsage,
  BUCKETS,
  type Bucket,
  costOf,
  inputTokens,
  MOST_TOKENS,
  NO_USAGE,
  outputTokens,
  type Price,
  type Rates,
  tokenCount,
  type Usage,
} from './usage.ts'

/** Where to look for a bucket's rate, spelled out apart from the code under test. */
const LOOKS_AT: Record<Bucket, Bucket[]> = {
  input: ['input'],
  cacheRead: ['cacheRead', 'input'],
  cacheWrite5m: ['cacheWrite5m', 'input'],
  cacheWrite1h: ['cacheWrite1h', 'cacheWrite5m', 'input'],
  output: ['output'],
  reasoning: ['reasoning', 'output'],
  imageInput: ['imageInput', 'input'],
  imageOutput: ['imageOutput', 'output'],
  audioInput: ['audioInput', 'input'],
  audioOutput: ['audioOutput', 'output'],
}
const INPUTS: Bucket[] = ['input', 'cacheRead', 'cacheWrite5m', 'cacheWrite1h', 'imageInput', 'audioInput']

/** A non-negative fraction. */
type Rational = readonly [numerator: bigint, denominator: bigint]
const plus = ([a, b]: Rational, [c, d]: Rational): Rational => [a * d + c * b, b * d]
const floor = ([a, b]: Rational): bigint => a / b

/** The cost in nano-dollars by fractions of dollars per token, rounded at the very end. */
function exactCost(usage: Usage, price: Price): bigint {
  const total = INPUTS.reduce((sum, bucket) => sum + BigInt(usage[bucket] ?? 0), 0n)
  const tier = (price.tiers ?? [])
    .filter(({ aboveInputTokens }) => total > BigInt(aboveInputTokens))
    .sort((a, b) => b.aboveInputTokens - a.aboveInputTokens)[0]
  let dollars: Rational = [0n, 1n]
  for (const bucket of BUCKETS) {
    const rates = LOOKS_AT[bucket].map((name) => tier?.rates[name] ?? price.rates[name])
    const rate = rates.find((found) => found !== undefined) ?? 0n
    dollars = plus(dollars, [BigInt(usage[bucket] ?? 0) * rate, 1_000_000n * 1_000_000_000n])
  }
  const nanos: Rational = [dollars[0] * 1_000_000_000n, dollars[1]]
  const fees = Object.entries(usage.calls ?? {}).map(([name, n]) => BigInt(n) * (price.perCall?.[name] ?? 0n))
  return floor(plus(nanos, [1n, 2n])) + (price.perRequest ?? 0n) + fees.reduce((a, b) => a + b, 0n)
}

const rate = fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 999n }), fc.bigInt({ min: 1n, max: 10n ** 12n }))
const record = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.record(Object.fromEntries(BUCKETS.map((bucket) => [bucket, arbitrary])), { requiredKeys: [] })
const rates = record(rate) as fc.Arbitrary<Rates>
const tokens = fc.oneof(fc.nat(5), fc.nat(300_000), fc.nat(MOST_TOKENS))
const usages = fc
  .tuple(record(tokens), fc.dictionary(fc.constantFrom('web_search', 'file_search', 'other'), fc.nat(50)))
  .map(([buckets, calls]): Usage => ({ source: 'provider', ...buckets, calls }))
const prices = fc
  .tuple(rates, fc.array(fc.record({ aboveInputTokens: fc.nat(400_000), rates }), { maxLength: 3 }), rate, rate)
  .map(([base, tiers, perRequest, fee]): Price => {
    const distinct = [...new Map(tiers.map((tier) => [tier.aboveInputTokens, tier])).values()]
    return { version: 'test', rates: base, tiers: distinct, perRequest, perCall: { web_search: fee } }
  })

const PAIRS = process.env.STOCKYARD_LONG ? 1_000_000 : 20_000
test(`T26: ${PAIRS} random usages and prices cost what exact fractions say, with 0 differences`, () => {
  fc.assert(
    fc.property(usages, prices, (usage, price) => {
      assert.equal(costOf(usage, price), exactCost(usage, price))
    }),
    { numRuns: PAIRS },
  )
})

test('T26: half a nano-dollar rounds up, and rounding happens once for all buckets', () => {
  const price: Price = { version: 'test', rates: { input: 250_000n, output: 250_000n } }
  assert.equal(costOf({ source: 'provider', input: 1 }, price), 0n)
  assert.equal(costOf({ source: 'provider', input: 1, output: 1 }, price), 1n)
  assert.equal(costOf({ source: 'provider', input: 3, output: 3 }, price), 2n)
})

const dollars = (text: string): bigint => BigInt(Math.round(Number(text) * 1e9))
const TIERED: Price = {
  version: 'test',
  rates: { input: dollars('3'), cacheRead: dollars('0.3'), cacheWrite5m: dollars('3.75'), output: dollars('15') },
  tiers: [
    { aboveInputTokens: 200_000, rates: { input: dollars('6'), cacheRead: dollars('0.6'), output: dollars('22.5') } },
  ],
}

test('A24: above the threshold the whole request costs the higher tier; at the threshold it does not', () => {
  assert.equal(formatDollars(costOf({ source: 'provider', input: 200_000, output: 1_000 }, TIERED)), '0.615')
  assert.equal(formatDollars(costOf({ source: 'provider', input: 200_001, output: 1_000 }, TIERED)), '1.222506')
})

test('A24: cached tokens count towards the threshold; a rate the tier does not name stays as it was', () => {
  const usage: Usage = { source: 'provider', input: 100_000, cacheRead: 100_000, cacheWrite5m: 100_000 }
  assert.equal(formatDollars(costOf(usage, TIERED)), '1.035')
})

test('A24: output does not count towards the threshold', () => {
  assert.equal(formatDollars(costOf({ source: 'provider', input: 1_000, output: 300_000 }, TIERED)), '4.503')
})

test('A24: of several tiers the highest that fits applies, in whatever order they stand', () => {
  const tiers = [
    { aboveInputTokens: 512_000, rates: { input: 4_000_000n } },
    { aboveInputTokens: 128_000, rates: { input: 2_000_000n } },
  ]
  for (const order of [tiers, tiers.toReversed()]) {
    const price: Price = { version: 'test', rates: { input: 1_000_000n }, tiers: order }
    for (const [input, each] of [
      [128_000, 1n],
      [128_001, 2n],
      [512_000, 2n],
      [600_000, 4n],
    ] as const) {
      assert.equal(costOf({ source: 'provider', input }, price), BigInt(input) * each)
    }
  }
})

test('A24: an hour of cache costs its own rate, and without one that of five minutes', () => {
  const usage: Usage = { source: 'provider', cacheWrite5m: 1_000_000, cacheWrite1h: 1_000_000 }
  const rates = { input: dollars('3'), cacheWrite5m: dollars('3.75') }
  assert.equal(
    formatDollars(costOf(usage, { version: 'test', rates: { ...rates, cacheWrite1h: dollars('6') } })),
    '9.75',
  )
  assert.equal(formatDollars(costOf(usage, { version: 'test', rates })), '7.5')
})

test('A22: a price of zero costs zero, whatever was used', () => {
  const free: Price = { version: 'local@0', rates: { input: 0n, output: 0n } }
  const usage = Object.fromEntries(BUCKETS.map((bucket) => [bucket, MOST_TOKENS]))
  assert.equal(costOf({ source: 'provider', ...usage, calls: { web_search: 3 } }, free), 0n)
})

test('a fee is charged for every call of a tool that has one', () => {
  const price: Price = {
    version: 'test',
    rates: {},
    perCall: { web_search: dollars('0.01') },
    perRequest: dollars('0.005'),
  }
  assert.equal(formatDollars(costOf({ source: 'provider', calls: { web_search: 7, web_fetch: 4 } }, price)), '0.075')
})

test('counts are whole, bounded, and nothing where a provider sent nonsense', () => {
  for (const nonsense of [-1, Number.NaN, '12', null, undefined, {}, 12n, Number.NEGATIVE_INFINITY]) {
    assert.equal(tokenCount(nonsense), 0)
  }
  assert.equal(tokenCount(1.5), 2)
  assert.equal(tokenCount(1e300), MOST_TOKENS)
  assert.equal(tokenCount(Number.POSITIVE_INFINITY), MOST_TOKENS)
})

test('buckets are disjoint: every one counts once, on one side', () => {
  const usage: Usage = { source: 'provider', ...Object.fromEntries(BUCKETS.map((bucket, i) => [bucket, 2 ** i])) }
  assert.equal(inputTokens(usage) + outputTokens(usage), 2 ** BUCKETS.length - 1)
})

test('usages of several attempts add up; one estimate makes the sum an estimate', () => {
  fc.assert(
    fc.property(usages, usages, prices, (a, b, price) => {
      const flat: Price = { version: 'test', rates: price.rates, ...(price.perCall && { perCall: price.perCall }) }
      const apart = costOf(a, flat) + costOf(b, flat)
      const off = costOf(addUsage(a, b), flat) - apart
      assert.ok(off >= -1n && off <= 1n, 'differs by more than the roundings')
    }),
  )
  const provider: Usage = { source: 'provider', input: 1, calls: { web_search: 1 } }
  assert.deepEqual(addUsage(provider, { source: 'estimated', input: 2, calls: { web_search: 2 } }), {
    source: 'estimated',
    input: 3,
    calls: { web_search: 3 },
  })
  assert.equal(addUsage(provider, NO_USAGE), provider)
  assert.equal(addUsage(NO_USAGE, provider), provider)
})
