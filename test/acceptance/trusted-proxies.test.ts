/** T82: a forwarded address counts only as far as the chain of named proxies goes. */
import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressList } from '../../src/core/addresses.ts'
import { forwardedPeer, socketPeer } from '../../src/http/peer.ts'
import { runGateway } from '../running/index.ts'

const request = (remoteAddress: string, headers: Record<string, string>) =>
  ({ socket: { remoteAddress }, headers }) as unknown as IncomingMessage
const peerOf = forwardedPeer(addressList(['10.0.0.0/8', '::1']))

test('T82: the nearest address that no named proxy has is the caller', () => {
  for (const [socket, forwarded, expected] of [
    ['203.0.113.5', '198.51.100.1', '203.0.113.5'],
    ['10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['::ffff:10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['10.0.0.1', '6.6.6.6, 198.51.100.1', '198.51.100.1'],
    ['10.0.0.1', '198.51.100.1, 10.0.0.2', '198.51.100.1'],
    ['10.0.0.1', '10.6.6.6, 198.51.100.1, 10.0.0.2', '198.51.100.1'],
    ['10.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
    ['10.0.0.1', '[2001:db8::1]:4711', '2001:db8::1'],
    ['10.0.0.1', 'unknown', '10.0.0.1'],
    ['10.0.0.1', '6.6.6.6, nonsense, 10.0.0.2', '10.0.0.2'],
    ['10.0.0.1', '', '10.0.0.1'],
  ] as const) {
    assert.equal(peerOf(request(socket, { 'x-forwarded-for': forwarded })), expected, `${socket} ${forwarded}`)
  }
  assert.equal(peerOf(request('::1', { forwarded: 'for="[2001:db8::7]:80";proto=https, for=10.0.0.9' })), '2001:db8::7')
  assert.equal(peerOf(request('10.0.0.1', { forwarded: 'for=_hidden' })), '10.0.0.1')
})

test('T82: whatever a stranger writes into the headers, the stranger keeps its own address', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.ipV4(), (xff, forwarded, socket) => {
      fc.pre(!socket.startsWith('10.'))
      const from = request(socket, { 'x-forwarded-for': xff, forwarded })
      assert.equal(peerOf(from), socket)
      assert.equal(socketPeer(from), socket)
    }),
  )
})

test('T82: a range that covers more than it seems to refuses the start', async (t) => {
  await assert.rejects(
    runGateway(t, { trustedProxies: ['::ffff:10.0.0.0/8'] }),
    /--trusted-proxies: "::ffff:10.0.0.0\/8"/,
  )
})

test('T82: keys bound to addresses see the forwarded one, and a named proxy ends no trust in this machine', async (t) => {
  const gateway = await runGateway(t, { trustedProxies: ['127.0.0.0/8'] })
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce', settings: { allowLocal: true } })
  const { headers } = gateway.key({ ipRanges: ['198.51.100.0/24'] })
  const ask = (more: Record<string, string>) => gateway.chat('gpt-4o-mini', 'hello', {}, more)
  assert.equal((await ask({ ...headers, 'x-forwarded-for': '198.51.100.7' })).status, 200)
  assert.equal((await ask({ ...headers, 'x-forwarded-for': '198.51.100.7, 203.0.113.9' })).status, 403)
  assert.equal((await ask(headers)).status, 403)
  assert.equal((await ask({ 'x-forwarded-for': '203.0.113.9' })).status, 401, 'who is forwarded is not local')
  assert.equal((await ask({})).status, 200)
  assert.equal((await gateway.admin('GET', 'health')).localTrust.lost, false)
})

test('T82: without the flag nobody’s word counts', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  const { headers } = gateway.key({ ipRanges: ['198.51.100.0/24'] })
  assert.equal(
    (await gateway.chat('gpt-4o-mini', 'hi', {}, { ...headers, 'x-forwarded-for': '198.51.100.7' })).status,
    403,
  )
})
