import assert from 'node:assert/strict'
import { test } from 'node:test'
import { restMs } from './pacing.ts'

const NOW = Date.parse('2026-11-24T12:00:00Z')

test('a limit that is used up rests the key for the time in which one request fits again', () => {
  const requests = (remaining: string, limit: string, reset: string) => ({
    'x-ratelimit-remaining-requests': remaining,
    'x-ratelimit-limit-requests': limit,
    'x-ratelimit-reset-requests': reset,
  })
  assert.equal(restMs(requests('1', '60', '1m0s'), NOW, 10), undefined, 'something is left')
  assert.equal(restMs(requests('0', '60', '1m0s'), NOW, 10), 1_000)
  assert.equal(restMs(requests('0', '10', '500ms'), NOW, 10), 50)
  assert.equal(restMs(requests('0', '1', '6m0s'), NOW, 10), 360_000)
  assert.equal(restMs(requests('0', '', '20s'), NOW, 10), 1_000, 'a limit without a size')
  for (const reset of ['', 'soon', '-1s', 'x'.repeat(100)])
    assert.equal(restMs(requests('0', '1', reset), NOW, 1), undefined)
})

test('tokens are paced by what the request needs; the longest of several counts; moments are read, too', () => {
  const headers = {
    'anthropic-ratelimit-input-tokens-remaining': '0',
    'anthropic-ratelimit-input-tokens-limit': '1000',
    'anthropic-ratelimit-input-tokens-reset': '2026-11-24T12:01:00Z',
    'anthropic-ratelimit-requests-remaining': '0',
    'anthropic-ratelimit-requests-limit': '60',
    'anthropic-ratelimit-requests-reset': '2026-11-24T12:01:00Z',
  }
  assert.equal(restMs(headers, NOW, 500), 30_000)
  assert.equal(restMs(headers, NOW, 1), 1_000)
})
