import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GatewayError } from '../core/errors.ts'
import { clientHeaders, retryAfterMs, upstreamHeaders } from './headers.ts'

test('the general few go upstream, and a vendor’s own by its list', () => {
  const client = {
    accept: 'text/event-stream',
    'content-type': 'application/json',
    'idempotency-key': 'k',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    tracestate: 'a=b',
    'anthropic-beta': 'files-api-2025-04-14',
    'x-custom': 'no',
  }
  const { 'anthropic-beta': beta, 'x-custom': custom, ...general } = client
  assert.deepEqual(upstreamHeaders(client, []), general)
  assert.deepEqual(upstreamHeaders(client, ['Anthropic-Beta']), { ...general, 'anthropic-beta': beta })
  assert.equal(custom, 'no')
})

test('credentials, cookies, accounts, forwarding and connection headers never go upstream, even when listed', () => {
  const names = [
    'authorization',
    'proxy-authorization',
    'x-api-key',
    'api-key',
    'x-goog-api-key',
    'cookie',
    'openai-organization',
    'openai-project',
    'forwarded',
    'via',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-real-ip',
    'cf-connecting-ip',
    'host',
    'user-agent',
    'origin',
    'connection',
    'keep-alive',
    'te',
    'transfer-encoding',
    'content-length',
    'content-encoding',
    'accept-encoding',
    'upgrade',
    'expect',
    'x-stockyard-upstream',
  ]
  const client = Object.fromEntries(names.map((name) => [name, 'x']))
  assert.deepEqual(upstreamHeaders(client, names), {})
})

test('T57: values with line breaks, NUL, other controls or characters beyond Latin-1 are refused', () => {
  for (const value of ['a\r\nx: y', 'a\nb', 'a\0', '\u0001', '\u007f', 'emoji 🌍', 'ł']) {
    assert.throws(
      () => upstreamHeaders({ 'idempotency-key': value }, []),
      (error) => error instanceof GatewayError && error.code === 'invalid_request' && !error.message.includes(value),
    )
  }
  assert.deepEqual(upstreamHeaders({ 'idempotency-key': 'tab\tand é' }, []), { 'idempotency-key': 'tab\tand é' })
})

test('T52: keys, cookies, accounts and hop-by-hop headers of an upstream never reach the client', () => {
  const passing = {
    'retry-after': '1',
    'retry-after-ms': '900',
    'request-id': 'req_1',
    'x-request-id': 'req_2',
    'x-ratelimit-remaining-tokens': '5',
    'anthropic-ratelimit-requests-limit': '9',
    'openai-processing-ms': '12',
    'openai-version': '2020-10-01',
  }
  const stopped = {
    'set-cookie': '__cf_bm=1',
    authorization: 'Bearer sk-upstream',
    'x-api-key': 'sk-upstream',
    'anthropic-organization-id': 'org',
    'openai-organization': 'org',
    server: 'x',
    connection: 'keep-alive',
    'transfer-encoding': 'chunked',
    'content-length': '3',
    'content-encoding': 'gzip',
    'access-control-allow-origin': '*',
    'x-stockyard-cost-usd': '0',
    'strict-transport-security': 'x',
    'x-ratelimit-evil': 'a\r\nset-cookie: b',
  }
  assert.deepEqual(clientHeaders({ ...passing, ...stopped }), passing)
})

test('retry-after is read in milliseconds, seconds and as a date', () => {
  const now = Date.UTC(2026, 0, 1)
  const cases: readonly (readonly [Record<string, string>, number | undefined])[] = [
    [{}, undefined],
    [{ 'retry-after': '2' }, 2000],
    [{ 'retry-after': '0.25' }, 250],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after-ms': '120', 'retry-after': '9' }, 120],
    [{ 'x-ms-retry-after-ms': '77', 'retry-after': '9' }, 77],
    [{ 'retry-after-ms': 'soon', 'retry-after': '9' }, 9000],
    [{ 'retry-after': new Date(now + 5000).toUTCString() }, 5000],
    [{ 'retry-after': new Date(now - 5000).toUTCString() }, 0],
    [{ 'retry-after': '-1' }, undefined],
    [{ 'retry-after': 'later' }, undefined],
    [{ 'retry-after': '2026-01-01' }, undefined],
    [{ 'retry-after': '1e9' }, undefined],
    [{ 'retry-after': '99999999999999' }, 1e13],
    [{ 'retry-after': '9'.repeat(41) }, undefined],
    [{ 'retry-after': '' }, undefined],
  ]
  for (const [headers, expected] of cases) assert.equal(retryAfterMs(headers, now), expected, JSON.stringify(headers))
})
