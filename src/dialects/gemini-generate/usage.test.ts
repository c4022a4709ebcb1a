import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JsonObject } from '../../core/request.ts'
import { BUCKETS, inputTokens, MOST_TOKENS, outputTokens, type Usage } from '../../core/usage.ts'
import { usageMetadata, usageOf } from './usage.ts'

const provider = (usage: Omit<Usage, 'source'>): Usage => ({ source: 'provider', ...usage })

test('A26: what came from the cache and what was thought are buckets of their own', () => {
  assert.deepEqual(
    usageOf({
      promptTokenCount: 100,
      cachedContentTokenCount: 60,
      candidatesTokenCount: 20,
      thoughtsTokenCount: 30,
      totalTokenCount: 150,
    }),
    provider({ input: 40, cacheRead: 60, output: 20, reasoning: 30 }),
  )
})

test('A26: where the candidates include the thoughts, the total tells', () => {
  assert.deepEqual(
    usageOf({ promptTokenCount: 10, candidatesTokenCount: 50, thoughtsTokenCount: 30, totalTokenCount: 60 }),
    provider({ input: 10, output: 20, reasoning: 30 }),
  )
})

test('A26: images and sound are told apart, and what is cached of them is not counted twice', () => {
  assert.deepEqual(
    usageOf({
      promptTokenCount: 1000,
      cachedContentTokenCount: 300,
      candidatesTokenCount: 1300,
      totalTokenCount: 2300,
      promptTokensDetails: [
        { modality: 'TEXT', tokenCount: 100 },
        { modality: 'IMAGE', tokenCount: 500 },
        { modality: 'AUDIO', tokenCount: 400 },
      ],
      cacheTokensDetails: [{ modality: 'IMAGE', tokenCount: 300 }],
      candidatesTokensDetails: [
        { modality: 'IMAGE', tokenCount: 1290 },
        { modality: 'TEXT', tokenCount: 10 },
      ],
    }),
    provider({ input: 100, cacheRead: 300, imageInput: 200, audioInput: 400, output: 10, imageOutput: 1290 }),
  )
})

test('what tools put into the prompt is input', () => {
  assert.deepEqual(
    usageOf({ promptTokenCount: 10, toolUsePromptTokenCount: 90, candidatesTokenCount: 5, totalTokenCount: 105 }),
    provider({ input: 100, output: 5 }),
  )
})

test('without a count of the candidates, the rest of the total is theirs', () => {
  assert.deepEqual(
    usageOf({ promptTokenCount: 10, thoughtsTokenCount: 3, totalTokenCount: 20 }),
    provider({ input: 10, output: 7, reasoning: 3 }),
  )
  assert.deepEqual(usageOf({ promptTokenCount: 10, totalTokenCount: 10 }), provider({ input: 10, output: 0 }))
})

test('a chunk that counts nothing reports nothing', () => {
  assert.equal(usageOf({ trafficType: 'ON_DEMAND' }), undefined)
  assert.equal(usageOf(undefined), undefined)
  assert.equal(usageOf([1]), undefined)
})

test('counts that are spelled as strings are counts', () => {
  assert.deepEqual(usageOf({ promptTokenCount: '7', candidatesTokenCount: '1' }), provider({ input: 7, output: 1 }))
})

test('T19: whatever is reported, no bucket is negative, broken or beyond measure', () => {
  const hostile = fc.oneof(
    fc.constantFrom(
      -1,
      -1e308,
      1e308,
      Number.POSITIVE_INFINITY,
      Number.NaN,
      2 ** 63,
      0.4,
      '1e400',
      '-5',
      'x',
      null,
      true,
      {},
      [],
    ),
    fc.integer({ min: 0, max: 1000 }),
  )
  const details = fc.array(fc.record({ modality: fc.constantFrom('TEXT', 'IMAGE', 'AUDIO', 'X'), tokenCount: hostile }))
  const metadata = fc.record(
    {
      promptTokenCount: hostile,
      candidatesTokenCount: hostile,
      thoughtsTokenCount: hostile,
      totalTokenCount: hostile,
      cachedContentTokenCount: hostile,
      toolUsePromptTokenCount: hostile,
      promptTokensDetails: fc.oneof(details, hostile),
      cacheTokensDetails: fc.oneof(details, hostile),
      candidatesTokensDetails: fc.oneof(details, hostile),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(metadata, (reported) => {
      const usage = usageOf(reported as JsonObject)
      for (const bucket of BUCKETS) {
        const tokens = usage?.[bucket] ?? 0
        assert.ok(Number.isSafeInteger(tokens) && tokens >= 0 && tokens <= MOST_TOKENS, `${bucket}: ${tokens}`)
      }
    }),
    { numRuns: 1_000 },
  )
})

test('A26: what is written to a client adds up, and reads as what it was', () => {
  const count = fc.integer({ min: 0, max: 100_000 })
  const usage = fc.record({
    input: count,
    cacheRead: count,
    output: count,
    reasoning: count,
    imageInput: count,
    audioInput: count,
    imageOutput: count,
    audioOutput: count,
  })
  fc.assert(
    fc.property(usage, (buckets) => {
      const given = provider(buckets)
      const written = usageMetadata(given)
      assert.equal(written.totalTokenCount, inputTokens(given) + outputTokens(given))
      const again = usageOf(written) as Usage
      for (const bucket of BUCKETS) assert.equal(again[bucket] ?? 0, given[bucket] ?? 0, bucket)
    }),
  )
})
