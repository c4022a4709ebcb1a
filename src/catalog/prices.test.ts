import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BUCKETS, costOf, MOST_TOKENS, type Usage } from '../core/usage.ts'
import { matches } from './match.ts'
import { type MatchRule, PRICE_DATA, type PriceData } from './price-data.ts'
import { createPriceList } from './prices.ts'

const list = createPriceList(PRICE_DATA)
const at = Date.parse('2026-11-23T12:00:00Z')

const small: PriceData = {
  source: 'test',
  version: '1',
  date: '2026-01-01',
  ownDate: '2026-01-01',
  catalogs: {
    maker: {
      makes: { starts_with: 'm-' },
      models: [
        { id: 'm-flat', match: { equals: 'm-flat' }, prices: [{ rates: { input: 1 } }] },
        {
          id: 'm-dated',
          match: { or: [{ equals: 'm-dated' }, { regex: '^m-dated-\\d{8}$' }] },
          prices: [
            { rates: { input: 1 } },
            { from: '2026-03-01', rates: { input: 2 } },
            { window: ['22:00', '02:30'], rates: { input: 3 } },
            { window: ['08:00', '09:00'], rates: { input: 4 } },
          ],
        },
        { id: 'm-by-the-page', match: { equals: 'm-by-the-page' } },
        { id: 'm-old', match: { equals: 'm-old' }, deprecated: true, prices: [{ rates: { input: 1 } }] },
        { id: 'A title', match: { or: [{ equals: 'm-named' }, { equals: 'm-named-1' }] } },
        { id: 'm-secret-', match: { starts_with: 'm-secret-' }, hidden: true, prices: [{ rates: { input: 5 } }] },
      ],
    },
    all: { models: [{ id: 'vendor/m-flat', match: { equals: 'vendor/m-flat' }, prices: [{ rates: { input: 9 } }] }] },
    cloud: {
      fallback: ['maker'],
      models: [{ id: 'm-flat', match: { equals: 'm-flat' }, prices: [{ rates: { input: 7 } }] }],
    },
    part: { of: 'maker', only: { ends_with: 'flat' } },
  },
}
const tiny = createPriceList(small)
const inputRate = (catalog: string, model: string, when = at) => tiny.priceOf(catalog, model, when)?.rates.input

test('A21: an unknown model, vendor or unit of billing is unpriced, never zero', () => {
  const unknown: [string, string][] = [
    ['maker', 'm-none'],
    ['maker', 'm-by-the-page'],
    ['maker', ''],
    ['nobody', 'm-flat'],
    ['__proto__', 'm-flat'],
    ['constructor', 'm-flat'],
    ['part', 'm-dated'],
  ]
  for (const [catalog, model] of unknown)
    assert.equal(tiny.priceOf(catalog, model, at), undefined, `${catalog}/${model}`)
  for (const [catalog, model] of [
    ['openai', 'gpt-99'],
    ['groq', 'whisper-large-v3'],
    ['anthropic', 'no-such-model'],
  ] as const) {
    assert.equal(list.priceOf(catalog, model, at), undefined, `${catalog}/${model}`)
  }
})

test('A22: free models and local servers are priced, at exactly zero', () => {
  const everything: Usage = {
    source: 'provider',
    ...Object.fromEntries(BUCKETS.map((bucket) => [bucket, MOST_TOKENS])),
  }
  for (const [catalog, model, version] of [
    ['local', 'anything:8b', 'local@0'],
    ['openrouter', 'deepseek/deepseek-r1:free', 'genai-prices@'],
    ['google-ai', 'gemma-3-27b-it', 'genai-prices@'],
  ] as const) {
    const price = list.priceOf(catalog, model, at)
    assert.ok(price, `${catalog}/${model} is unpriced`)
    assert.ok(price.version.startsWith(version), price.version)
    assert.equal(costOf(everything, price), 0n)
  }
})

test('A24: a price holds from the first moment of its day in UTC', () => {
  assert.equal(inputRate('maker', 'm-dated', Date.parse('2020-01-01T12:00:00Z')), 1n)
  assert.equal(inputRate('maker', 'm-dated', Date.parse('2026-02-28T23:59:59.999Z')), 1n)
  assert.equal(inputRate('maker', 'm-dated', Date.parse('2026-03-01T12:00:00Z')), 2n)
})

test('A24: a daily window changes the price at its very edges, over midnight too, and not before its date', () => {
  const rates: [string, bigint][] = [
    ['2026-03-01T00:00:00Z', 3n],
    ['2026-03-01T02:29:59.999Z', 3n],
    ['2026-03-01T02:30:00Z', 2n],
    ['2026-03-01T07:59:59.999Z', 2n],
    ['2026-03-01T08:00:00Z', 4n],
    ['2026-03-01T09:00:00Z', 2n],
    ['2026-03-01T22:00:00Z', 3n],
    ['2026-02-28T08:30:00Z', 1n],
    ['2026-02-28T22:30:00Z', 1n],
  ]
  for (const [when, rate] of rates) assert.equal(inputRate('maker', 'm-dated', Date.parse(when)), rate, when)
})

test('A24: the version of a price tells its table, model, date and window apart', () => {
  const version = (when: string) => tiny.priceOf('maker', 'm-dated-20260101', Date.parse(when))?.version
  assert.equal(version('2026-01-01T12:00:00Z'), 'test@1:maker/m-dated')
  assert.equal(version('2026-03-01T12:00:00Z'), 'test@1:maker/m-dated@2026-03-01')
  assert.equal(version('2026-03-01T08:30:00Z'), 'test@1:maker/m-dated@2026-03-01/08:00-09:00Z')
})

test('A24: DeepSeek is dearer in its busy hours, from the day on which it said so', () => {
  const rate = (when: string) => list.priceOf('deepseek', 'deepseek-v4-pro', Date.parse(when))?.rates.output
  assert.equal(rate('2026-08-16T02:00:00Z'), 870_000_000n)
  assert.equal(rate('2026-08-17T00:30:00Z'), 1_980_000_000n)
  assert.equal(rate('2026-08-17T01:00:00Z'), 3_960_000_000n)
  assert.equal(rate('2026-08-17T04:00:00Z'), 1_980_000_000n)
})

test('A24: the long-context tier of a real model applies above 200,000 tokens', () => {
  const price = list.priceOf('google-ai', 'gemini-2.5-pro', at)
  assert.ok(price)
  assert.equal(costOf({ source: 'provider', input: 200_000 }, price), 250_000_000n)
  assert.equal(costOf({ source: 'provider', input: 200_001 }, price), 500_002_500n)
})

test('A24: an hour of Claude cache costs twice the input on every platform that sells it', () => {
  let counted = 0
  for (const { models = [] } of Object.values(PRICE_DATA.catalogs)) {
    for (const { id, prices = [] } of models) {
      if (!/claude/i.test(id)) continue
      for (const { rates, tiers = [] } of prices) {
        for (const each of [rates, ...tiers.map((tier) => tier.rates)]) {
          if (each.cacheWrite5m === undefined) continue
          counted++
          assert.equal(each.cacheWrite1h, 2 * (each.input ?? 0), id)
        }
      }
    }
  }
  assert.ok(counted > 80, `only ${counted} prices seen`)
})

test('a vendor without an entry of its own falls back to the makers that its table names, and only to them', () => {
  assert.equal(inputRate('cloud', 'm-flat'), 7n)
  assert.equal(inputRate('cloud', 'm-dated'), 2n)
  assert.equal(inputRate('all', 'm-flat'), undefined)
  assert.equal(tiny.priceOf('cloud', 'm-dated', at)?.version, 'test@1:maker/m-dated@2026-03-01')
})

test('names are compared without regard to letter case', () => {
  assert.equal(inputRate('maker', 'M-Flat'), 1n)
  assert.deepEqual(tiny.makersOf('VENDOR/M-flat'), ['all'])
})

test('the same question gives the same price object', () => {
  assert.equal(tiny.priceOf('maker', 'm-dated', at), tiny.priceOf('maker', 'm-dated-20260101', at + 1))
})

test('rules match as they say', () => {
  const cases: [MatchRule, string, boolean][] = [
    [{ equals: 'a' }, 'a', true],
    [{ equals: 'a' }, 'ab', false],
    [{ starts_with: 'a' }, 'ab', true],
    [{ ends_with: 'b' }, 'ab', true],
    [{ ends_with: 'b' }, 'ba', false],
    [{ contains: 'b' }, 'abc', true],
    [{ regex: '^A\\d$' }, 'a1', true],
    [{ regex: '^a\\d$' }, 'a12', false],
    [{ and: [{ starts_with: 'a' }, { ends_with: 'c' }] }, 'abc', true],
    [{ and: [{ starts_with: 'a' }, { ends_with: 'c' }] }, 'ab', false],
    [{ or: [{ equals: 'x' }, { and: [] }] }, 'y', true],
    [{ or: [] }, 'y', false],
  ]
  for (const [rule, name, expected] of cases) assert.equal(matches(rule, name), expected, JSON.stringify([rule, name]))
})

test('lists leave out what cannot be asked for', () => {
  assert.deepEqual(tiny.modelsOf('maker'), ['m-flat', 'm-dated', 'm-by-the-page', 'm-named'])
  assert.deepEqual(tiny.modelsOf('part'), ['m-flat'])
  assert.deepEqual(tiny.modelsOf('nobody'), [])
  assert.deepEqual(list.modelsOf('local'), [])
  assert.ok(list.modelsOf('google-ai').every((id) => /^gem(?:ini|ma)/.test(id)))
})

test('a name belongs to its maker first, then to those who list that very name', () => {
  assert.deepEqual(tiny.makersOf('m-flat'), ['maker', 'cloud', 'part'])
  assert.deepEqual(tiny.makersOf('m-dated-20260101'), ['maker'])
  assert.deepEqual(tiny.makersOf('m-old'), ['maker'])
  assert.deepEqual(tiny.makersOf('m-secret-1'), [])
  assert.deepEqual(tiny.makersOf('m-none'), [])
})

test('the makers of well-known models come first', () => {
  const makers: [string, string][] = [
    ['gpt-4o', 'openai'],
    ['gpt-4o-2024-08-06', 'openai'],
    ['o3-mini', 'openai'],
    ['text-embedding-3-small', 'openai'],
    ['claude-sonnet-4-5-20250929', 'anthropic'],
    ['claude-opus-5-5', 'anthropic'],
    ['grok-4.5', 'x-ai'],
    ['deepseek-chat', 'deepseek'],
    ['mistral-large-latest', 'mistral'],
    ['kimi-k2', 'moonshotai'],
    ['sonar-pro', 'perplexity'],
    ['glm-5.2', 'zai'],
    ['minimax-m3', 'minimax'],
  ]
  for (const [model, maker] of makers) assert.equal(list.makersOf(model)[0], maker, model)
  assert.ok(list.makersOf('gemini-2.5-pro').includes('google-ai'))
  assert.ok(!list.makersOf('claude-sonnet-4-5').includes('google-ai'))
  assert.ok(!list.makersOf('gpt-oss-120b').includes('openai'))
})

test('what is listed is found: every listed name fits a rule of its own catalog and leads back to it', () => {
  let listed = 0
  for (const [catalog, { models = [] }] of Object.entries(PRICE_DATA.catalogs)) {
    for (const name of list.modelsOf(catalog)) {
      listed++
      if (models.length > 0)
        assert.ok(
          models.some(({ match }) => matches(match, name.toLowerCase())),
          `${catalog}/${name}`,
        )
      assert.ok(list.makersOf(name).includes(catalog), `${catalog}/${name}`)
    }
  }
  assert.ok(listed > 1_500, `only ${listed} names`)
})

test('the table holds whole, safe, non-negative numbers and names only known buckets', () => {
  let rates = 0
  for (const { models = [] } of Object.values(PRICE_DATA.catalogs)) {
    for (const { id, prices = [] } of models) {
      for (const price of prices) {
        for (const each of [price.rates, ...(price.tiers ?? []).map((tier) => tier.rates)]) {
          for (const [bucket, nanos] of Object.entries(each)) {
            rates++
            assert.ok((BUCKETS as readonly string[]).includes(bucket), `${id}: ${bucket}`)
            assert.ok(Number.isSafeInteger(nanos) && nanos >= 0, `${id}: ${bucket} ${nanos}`)
          }
        }
        for (const fee of [...Object.values(price.perCall ?? {}), price.perRequest ?? 0]) {
          assert.ok(Number.isSafeInteger(fee) && fee >= 0, `${id}: fee ${fee}`)
        }
      }
    }
  }
  assert.ok(rates > 3_000, `only ${rates} rates`)
})

test('T56: what is remembered about names is bounded in number and in length', () => {
  const before = process.memoryUsage().heapUsed
  const long = 'x'.repeat(100_000)
  for (let i = 0; i < 30_000; i++) {
    const name = i % 3 === 0 ? `m-secret-${i}${long}` : `m-secret-${i}`
    assert.equal(tiny.priceOf('maker', name, at) === undefined, i % 3 === 0)
    assert.deepEqual(tiny.makersOf(name), [])
  }
  assert.ok(process.memoryUsage().heapUsed - before < 256 * 1024 * 1024)
  assert.equal(inputRate('maker', 'm-flat'), 1n)
})
