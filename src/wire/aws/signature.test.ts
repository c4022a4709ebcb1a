import assert from 'node:assert/strict'
import { test } from 'node:test'
import { awsSignature } from './signature.ts'

const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }
const AT = Date.UTC(2015, 7, 30, 12, 36, 0)
const scope = { region: 'us-east-1', service: 'service' }
const HOST = 'https://example.amazonaws.com'

/** AWS's published test suite for Signature Version 4. */
const SUITE: readonly (readonly [
  name: string,
  method: 'GET' | 'POST',
  path: string,
  more: { headers?: Record<string, string>; body?: string },
  signature: string,
])[] = [
  ['get-vanilla', 'GET', '/', {}, '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
  [
    'get-vanilla-query-order-key-case',
    'GET',
    '/?Param2=value2&Param1=value1',
    {},
    'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
  ],
  [
    'get-vanilla-empty-query-key',
    'GET',
    '/?Param1=value1',
    {},
    'a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb',
  ],
  ['post-vanilla', 'POST', '/', {}, '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
  [
    'post-x-www-form-urlencoded',
    'POST',
    '/',
    { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'Param1=value1' },
    'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
  ],
]

for (const [name, method, path, { headers = {}, body = '' }, signature] of SUITE) {
  test(`AWS's test suite: ${name}`, async () => {
    const signed = await awsSignature(
      {
        method,
        url: HOST + path,
        headers,
        body: body === '' ? [] : [Buffer.from(body.slice(0, 3)), Buffer.from(body.slice(3))],
      },
      KEYS,
      scope,
      AT,
    )
    const names = headers['content-type'] ? 'content-type;host;x-amz-date' : 'host;x-amz-date'
    assert.equal(
      signed.authorization,
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=${names}, Signature=${signature}`,
    )
    assert.equal(signed['x-amz-date'], '20150830T123600Z')
  })
}

test('a session token is signed and sent; what others set on the way is not signed', async () => {
  const signed = await awsSignature(
    {
      method: 'POST',
      url: `${HOST}/model/a%3A0/converse`,
      headers: { 'user-agent': 'x', traceparent: 'y', 'content-type': 'application/json' },
      body: [Buffer.from('{}')],
    },
    { ...KEYS, sessionToken: 'the-token' },
    scope,
    AT,
  )
  assert.equal(signed['x-amz-security-token'], 'the-token')
  assert.match(signed.authorization ?? '', /SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,/)
})
