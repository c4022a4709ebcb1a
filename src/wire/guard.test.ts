import assert from 'node:assert/strict'
import type dns from 'node:dns'
import type { LookupFunction } from 'node:net'
import { test } from 'node:test'
import { type AddressKind, type Audience, createGuard, GuardError, kindOf } from './guard.ts'

/** Host spellings by what the URL parser and the guard must make of them. */
const SPELLINGS: Readonly<Record<AddressKind, readonly string[]>> = {
  'link-local': [
    '169.254.169.254',
    '169.254.169.254.',
    '169.254.0.1',
    '169.254.170.2',
    '169.254.255.255',
    '2852039166',
    '0xa9fea9fe',
    '0xA9.0xFE.0xA9.0xFE',
    '0251.0376.0251.0376',
    '0251.254.169.254',
    '169.0xfe.43518',
    '169.16689662',
    '１６９.254.169.254',
    '169。254。169。254',
    '[::ffff:169.254.169.254]',
    '[::ffff:a9fe:a9fe]',
    '[0:0:0:0:0:ffff:a9fe:a9fe]',
    '[::169.254.169.254]',
    '[::ffff:0:a9fe:a9fe]',
    '[64:ff9b::a9fe:a9fe]',
    '[64:ff9b::169.254.169.254]',
    '[2002:a9fe:a9fe::]',
    '[2002:a9fe:a9fe::1]',
    '[fe80::1]',
    '[fe80::a9fe:a9fe]',
    '[febf:ffff::1]',
    '[FE80::1]',
  ],
  metadata: ['100.100.100.200', '168.63.129.16', '192.0.0.192', '[fd00:ec2::254]', '[fd00:0ec2::23]', '[fd20:ce::254]'],
  reserved: [
    '0.0.0.0',
    '0',
    '0x0',
    '0.0.0.1',
    '[::]',
    '[::ffff:0.0.0.0]',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '192.0.2.1',
    '198.18.0.1',
    '198.51.100.1',
    '203.0.113.1',
    '[ff02::1]',
    '[2001:db8::1]',
    '[2001::1]',
    '[100::1]',
    '[64:ff9b:1::1]',
    '[fec0::1]',
    '[4000::1]',
  ],
  loopback: [
    '127.0.0.1',
    '127.255.255.254',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
  ],
  private: [
    '10.0.0.1',
    '10.255.255.255',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '3232235777',
    '100.64.0.1',
    '[fd12:3456::1]',
    '[fc00::1]',
    '[::ffff:10.0.0.1]',
    '[::ffff:c0a8:101]',
  ],
  public: ['8.8.8.8', '172.32.0.1', '100.128.0.1', '[2606:4700::1111]', '[::ffff:8.8.8.8]', '[2002:808:808::1]'],
}

test('T74: address spellings are recognized in every form, and refused or allowed by kind', () => {
  const denied: Readonly<Record<Audience, readonly AddressKind[]>> = {
    administrator: ['link-local', 'metadata', 'reserved'],
    public: ['link-local', 'metadata', 'reserved', 'loopback', 'private'],
  }
  let spellings = 0
  for (const audience of ['administrator', 'public'] as const) {
    const guard = createGuard(audience)
    for (const [kind, hosts] of Object.entries(SPELLINGS)) {
      for (const host of hosts) {
        spellings++
        const url = new URL(`http://${host}/v1`)
        const address = url.hostname.replace(/^\[|\]$|\.$/g, '')
        assert.equal(kindOf(address), kind, `${host} is ${address}`)
        assert.equal(guard.refuses(url) !== undefined, denied[audience].includes(kind as AddressKind), host)
      }
    }
  }
  assert.ok(spellings / 2 >= 60)
})

test('T74: metadata services are refused by name, with a final dot and in capitals', () => {
  const guard = createGuard('administrator')
  for (const host of ['metadata.google.internal', 'METADATA.google.internal.', 'metadata', 'instance-data']) {
    assert.match(guard.refuses(new URL(`http://${host}/`)) ?? '', /metadata service/)
  }
  assert.equal(guard.refuses(new URL('https://api.openai.com/v1')), undefined)
  assert.equal(guard.refuses(new URL('http://localhost:11434/v1')), undefined)
})

test('T74: schemes other than http and https, and user names in URLs, are refused', () => {
  const guard = createGuard('administrator')
  for (const url of ['file:///etc/passwd', 'ftp://a/', 'gopher://a/', 'data:,x', 'unix:/x', 'ws://a/']) {
    assert.match(guard.refuses(new URL(url)) ?? '', /scheme/)
  }
  assert.match(guard.refuses(new URL('http://user@api.openai.com/')) ?? '', /user name/)
  assert.match(guard.refuses(new URL('http://api.openai.com:x@169.254.169.254/')) ?? '', /user name/)
})

test('T75: allowHosts lets exactly the named host or address through', () => {
  const guard = createGuard('administrator', ['169.254.169.254', 'Metadata.Google.Internal', '[fe80::1]'])
  assert.equal(guard.refuses(new URL('http://169.254.169.254/')), undefined)
  assert.equal(guard.refuses(new URL('http://2852039166/')), undefined)
  assert.equal(guard.refuses(new URL('http://metadata.google.internal/')), undefined)
  assert.equal(guard.refuses(new URL('http://[fe80::1]/')), undefined)
  assert.ok(guard.refuses(new URL('http://169.254.169.253/')))
})

const answering = (...addresses: string[]): typeof dns.lookup =>
  ((_host: string, _options: object, callback: (error: null, found: object[]) => void) => {
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )
  }) as unknown as typeof dns.lookup

function look(lookup: LookupFunction, all: boolean): Promise<unknown> {
  return new Promise((resolve, reject) => {
    lookup('some.example', { all }, (error, address) => (error ? reject(error) : resolve(address)))
  })
}

test('T74: a name that resolves to a forbidden address is refused, also if only one of several is', async () => {
  for (const addresses of [['169.254.169.254'], ['8.8.8.8', 'fe80::1%eth0'], ['0.0.0.0'], ['::ffff:169.254.169.254']]) {
    await assert.rejects(look(createGuard('administrator', [], answering(...addresses)).lookup, true), GuardError)
  }
  await assert.rejects(look(createGuard('public', [], answering('127.0.0.1')).lookup, false), GuardError)
  await assert.rejects(look(createGuard('public', [], answering()).lookup, false), /no address/)
})

test('a name that resolves to allowed addresses is answered in both forms of the callback', async () => {
  const found = [
    { address: '10.0.0.1', family: 4 },
    { address: '2606:4700::1', family: 6 },
  ]
  const { lookup } = createGuard('administrator', [], answering('10.0.0.1', '2606:4700::1'))
  assert.deepEqual(await look(lookup, true), found)
  assert.equal(await look(lookup, false), '10.0.0.1')
  const listed = createGuard('administrator', ['some.example'], answering('169.254.169.254'))
  assert.equal(await look(listed.lookup, false), '169.254.169.254')
})
