/** Signed tokens on the data plane: a provider's own keys, claims mapped to places, everything forged refused. */
import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { runGateway, until } from '../running/index.ts'

const ISSUER = 'https://login.example'
const AUDIENCE = 'stockyard'

async function issuer(t: TestContext) {
  const pairs = [await generateKeyPair('ES256'), await generateKeyPair('RS256')] as const
  let published = 1
  let asked = 0
  let status = 200
  const server = http.createServer(async (_, out) => {
    asked++
    const keys = await Promise.all(
      pairs.slice(0, published).map(async ({ publicKey }, i) => ({ ...(await exportJWK(publicKey)), kid: `k${i}` })),
    )
    out.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ keys }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const sign = (
    claims: object,
    more: { kid?: number; issuer?: string; audience?: string; exp?: string; nbf?: string } = {},
  ) => {
    const kid = more.kid ?? 0
    return new SignJWT({ ...claims })
      .setProtectedHeader({ alg: kid === 0 ? 'ES256' : 'RS256', kid: `k${kid}` })
      .setSubject('ada')
      .setIssuer(more.issuer ?? ISSUER)
      .setAudience(more.audience ?? AUDIENCE)
      .setExpirationTime(more.exp ?? '5m')
      .setNotBefore(more.nbf ?? '-1m')
      .sign((pairs[kid] as (typeof pairs)[0]).privateKey)
  }
  return {
    jwksUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`,
    sign,
    publishBoth: () => {
      published = 2
    },
    fail: (with_: number) => {
      status = with_
    },
    asked: () => asked,
  }
}

async function withTokens(t: TestContext, more: object = {}) {
  const login = await issuer(t)
  const gateway = await runGateway(t)
  await gateway.admin('POST', 'organizations', { id: 'acme', models: ['gpt-4o*'] })
  await gateway.admin('POST', 'teams', { id: 'ml', organization: 'acme' })
  await gateway.admin('POST', 'users', {
    id: 'ada',
    email: 'ada@example.com',
    memberships: [{ team: 'ml', role: 'member' }],
  })
  const tokens = {
    issuer: ISSUER,
    audience: AUDIENCE,
    jwksUrl: login.jwksUrl,
    teamClaim: 'team',
    modelsClaim: 'models',
    ...more,
  }
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce', settings: { tokens } })
  const ask = (token: string, more: { model?: string; stream?: boolean } = {}) =>
    gateway.chat(
      more.model ?? 'gpt-4o-mini',
      'hello',
      { stream: more.stream ?? false },
      { authorization: `Bearer ${token}` },
    )
  const codeOf = (answer: { text: string }) => JSON.parse(answer.text).error.code as string
  return { login, gateway, ask, codeOf }
}

test('a signed token is a caller with a place: streamed and not, booked to its user, team and organization', async (t) => {
  const { login, gateway, ask, codeOf } = await withTokens(t)
  const token = await login.sign({ team: 'ml', models: ['gpt-4o-mini'] })
  for (const stream of [false, true]) assert.equal((await ask(token, { stream })).status, 200)
  assert.equal(login.asked(), 1, 'the provider’s keys are asked for once')
  const rows = await gateway.usage('principal,user,team,organization')
  assert.deepEqual(
    rows.map((row) => row.group),
    [{ principal: 'token:ada', user: 'ada', team: 'ml', organization: 'acme' }],
  )
  assert.equal(codeOf(await ask(token, { model: 'gpt-4o' })), 'key_model_not_allowed')
  const wide = await login.sign({ team: 'ml', models: ['*'] })
  assert.equal((await ask(wide, { model: 'gpt-4.1' })).status, 403, 'the organization does not have that model')
  const { key } = await gateway.admin('POST', 'keys', { team: 'ml' })
  assert.equal((await ask(key)).status, 200, 'keys go on beside tokens')
})

test('whatever is forged, expired or meant for others is 401, and who belongs nowhere is 403', async (t) => {
  const { login, ask, codeOf } = await withTokens(t)
  const good = await login.sign({ team: 'ml' })
  const [head, body, signature] = good.split('.') as [string, string, string]
  const other = await issuer(t)
  const cases: [string, string][] = [
    [await login.sign({ team: 'ml' }, { issuer: 'https://evil.example' }), 'token_invalid'],
    [await login.sign({ team: 'ml' }, { audience: 'somebody-else' }), 'token_invalid'],
    [await login.sign({ team: 'ml' }, { exp: '-10m' }), 'token_expired'],
    [await login.sign({ team: 'ml' }, { nbf: '10m' }), 'token_invalid'],
    [await other.sign({ team: 'ml' }), 'token_invalid'],
    [`${head}.${body}.${signature.slice(0, -2)}AA`, 'token_invalid'],
    [`${head}.${Buffer.from('{"sub":"root"}').toString('base64url')}.${signature}`, 'token_invalid'],
    [
      new UnsecuredJWT({ team: 'ml' })
        .setSubject('ada')
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime('5m')
        .encode(),
      'token_invalid',
    ],
    [
      await new SignJWT({ team: 'ml' })
        .setProtectedHeader({ alg: 'HS256', kid: 'k0' })
        .setSubject('ada')
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime('5m')
        .sign(new TextEncoder().encode('x'.repeat(64))),
      'token_invalid',
    ],
  ]
  for (const [token, code] of cases) {
    const answer = await ask(token)
    assert.equal(answer.status, 401, answer.text)
    assert.equal(codeOf(answer), code)
  }
  const stranger = await ask(await login.sign({ team: 'no-such-team' }))
  assert.equal(stranger.status, 403)
  assert.equal(codeOf(stranger), 'token_place_unknown')
  assert.equal((await ask(good)).status, 200)
  // Clocks of two machines differ a little.
  assert.equal((await ask(await login.sign({ team: 'ml' }, { exp: '-15s' }))).status, 200)
  assert.equal((await ask(await login.sign({ team: 'ml' }, { nbf: '15s' }))).status, 200)
})

test('a team is that of the organization that the token names, and an address counts once it is verified', async (t) => {
  const claims = { userClaim: 'email', organizationClaim: 'org' }
  const { login, gateway, ask, codeOf } = await withTokens(t, claims)
  await gateway.admin('POST', 'organizations', { id: 'globex' })
  const said = async (token: object): Promise<number | string> => {
    const answer = await ask(await login.sign(token))
    return answer.status === 200 ? 200 : codeOf(answer)
  }
  assert.equal(await said({ team: 'ml', org: 'acme', email: 'ada@example.com', email_verified: true }), 200)
  assert.equal(await said({ team: 'ml', email: 'ada@example.com' }), 200)
  assert.equal(await said({ team: 'ml', org: 'globex' }), 'token_place_unknown')
  assert.equal(await said({ team: 'ml', email: 'ada@example.com', email_verified: false }), 'token_invalid')
})

test('A81: a user or team that is blocked is refused with the next request, whatever the token says', async (t) => {
  const { login, gateway, ask, codeOf } = await withTokens(t)
  const token = await login.sign({ team: 'ml' })
  assert.equal((await ask(token)).status, 200)
  await gateway.admin('PUT', 'users/ada', { blocked: true })
  assert.equal(codeOf(await ask(token)), 'key_blocked')
  await gateway.admin('PUT', 'users/ada', { blocked: null })
  assert.equal((await ask(token)).status, 200)
  await gateway.admin('DELETE', 'teams/ml')
  assert.equal((await ask(token)).status, 403)
})

test('A14: a provider that is away is 503 for strangers and nothing for the known; new keys of it are found', async (t) => {
  const { login, ask } = await withTokens(t)
  login.fail(500)
  const token = await login.sign({ team: 'ml' })
  const refused = await ask(token)
  assert.equal(refused.status, 503, refused.text)
  login.fail(200)
  assert.equal((await ask(token)).status, 200)
  login.fail(500)
  assert.equal((await ask(token)).status, 200)
  login.fail(200)
  login.publishBoth()
  const asked = login.asked()
  const rotated = await login.sign({ team: 'ml' }, { kid: 1 })
  assert.equal((await ask(rotated)).status, 401, 'not asked again at once for a key that is not known')
  assert.equal(login.asked(), asked)
  await until(async () => (await ask(rotated)).status === 200, 'the new key is found', 20_000)
  assert.equal(login.asked(), asked + 1)
})
