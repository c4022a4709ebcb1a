import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressList, networkOf } from './addresses.ts'

test('addresses and ranges of both families, and the IPv4 peer of an IPv6 socket', () => {
  const list = addressList(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::ffff:198.51.100.0/120'])
  for (const inside of ['10.9.8.7', '192.0.2.7', '::ffff:10.1.1.1', '2001:db8:1::1', '198.51.100.9']) {
    assert.ok(list.has(inside), inside)
  }
  for (const outside of ['11.0.0.1', '192.0.2.8', '2001:db9::1', '::1', 'nonsense', '']) {
    assert.ok(!list.has(outside), outside)
  }
})

test('T82: what is no range, or covers far more than it seems to, is refused by name', () => {
  for (const bad of [
    '::ffff:10.0.0.0/8',
    '::FFFF:a00:0/8',
    '0:0:0:0:0:ffff:10.0.0.0/8',
    '0:0::ffff:0a00:0/95',
    '::10.0.0.0/8',
    '10.0.0.0/33',
    '10.0.0/8',
    'localhost',
    '10.0.0.0/8/8',
    '::/129',
    '1.2.3.4/-1',
    '',
  ]) {
    assert.throws(
      () => addressList([bad], 'trustedProxies'),
      (error: Error & { code?: string }) => error.code === 'invalid_request' && error.message.includes(`"${bad}"`),
      bad,
    )
  }
})

test('T85: what is counted for an address of IPv6 is counted for its whole network, and for one of IPv4 for it alone', () => {
  for (const [address, network] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:0:7::1', '2001:db8:0:7::/64'],
    ['2001:0DB8:0:7:ffff:1:2:3', '2001:db8:0:7::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['', ''],
  ] as const) {
    assert.equal(networkOf(address), network)
  }
})
