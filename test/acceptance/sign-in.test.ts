/** Signing in to administer: passwords, sessions that can be ended, delays for those who guess. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAttempts } from '../../src/http/admin/attempts.ts'
import { type Answer, exchange, type Running, runGateway } from '../running/index.ts'

const PASSWORD = 'correct horse battery staple'
const signIn = (gateway: Running, body: object): Promise<Answer> => exchange(`${gateway.url}/api/session`, 'POST', body)
const cookieOf = (answer: Answer): string => /^[^;]+/.exec(String(answer.headers['set-cookie']))?.[0] ?? ''
const get = (gateway: Running, path: string, cookie: string) =>
  exchange(`${gateway.url}/api/${path}`, 'GET', undefined, { cookie })

async function withAda(t: Parameters<typeof runGateway>[0]) {
  const gateway = await runGateway(t)
  await gateway.admin('POST', 'users', {
    id: 'ada',
    email: 'Ada@Example.com',
    password: PASSWORD,
    memberships: [{ role: 'admin' }],
  })
  return gateway
}

test('a session is kept over a restart, is listed, and ends when it is ended, blocked, or the password changes', async (t) => {
  const gateway = await withAda(t)
  const answer = await signIn(gateway, { email: 'ada@example.com', password: PASSWORD })
  assert.match(String(answer.headers['set-cookie']), /HttpOnly; SameSite=Strict/)
  const first = cookieOf(answer)
  const second = cookieOf(await signIn(gateway, { email: 'ADA@example.com', password: PASSWORD }))
  await gateway.restart()
  assert.equal((await get(gateway, 'session', first)).json.user, 'ada')
  const { sessions } = (await get(gateway, 'sessions', first)).json
  assert.equal(sessions.length, 2)
  const current = sessions.find((one: { current: boolean }) => one.current)
  await gateway.admin('DELETE', `sessions/${current.id}`)
  const ended = await get(gateway, 'session', first)
  assert.equal(ended.status, 401)
  assert.equal(ended.json.error.code, 'signed_out')
  assert.equal((await get(gateway, 'session', second)).status, 200)
  await gateway.admin('PUT', 'users/ada', { blocked: true })
  assert.equal((await get(gateway, 'session', second)).status, 401)
  assert.equal((await signIn(gateway, { email: 'ada@example.com', password: PASSWORD })).status, 401)
  await gateway.admin('PUT', 'users/ada', { blocked: null })
  assert.equal((await get(gateway, 'session', second)).status, 200)
  const other = 'another long password'
  const change = (body: object) => exchange(`${gateway.url}/api/users/ada/password`, 'PUT', body, { cookie: second })
  assert.equal((await change({ password: other })).status, 401)
  assert.equal((await change({ password: other, current: PASSWORD })).status, 200)
  assert.equal((await get(gateway, 'session', second)).status, 401)
  assert.equal((await signIn(gateway, { email: 'ada@example.com', password: PASSWORD })).status, 401)
  assert.equal((await signIn(gateway, { email: 'ada@example.com', password: other })).status, 200)
  assert.equal((await signIn(gateway, { key: gateway.adminKey })).status, 200)
})

test('a role that is taken away acts on the next request of a session that is going on', async (t) => {
  const gateway = await withAda(t)
  const cookie = cookieOf(await signIn(gateway, { email: 'ada@example.com', password: PASSWORD }))
  assert.equal((await get(gateway, 'modules', cookie)).status, 200)
  await gateway.admin('PUT', 'users/ada', { memberships: [{ role: 'member' }] })
  assert.equal((await get(gateway, 'modules', cookie)).status, 403)
  await gateway.admin('DELETE', 'users/ada')
  assert.equal((await get(gateway, 'session', cookie)).status, 401)
})

test('a cookie from another site changes nothing', async (t) => {
  const gateway = await withAda(t)
  const cookie = cookieOf(await signIn(gateway, { email: 'ada@example.com', password: PASSWORD }))
  const from = (site: string) =>
    exchange(
      `${gateway.url}/api/modules/cache`,
      'PUT',
      { mode: 'off' },
      { cookie, 'sec-fetch-site': site, origin: 'http://evil.example' },
    )
  assert.equal((await from('cross-site')).status, 403)
  assert.equal((await from('same-site')).status, 403)
  assert.equal((await from('same-origin')).status, 200)
})

test('T85: whoever does not exist gets the same words, is delayed alike, and takes as long', async (t) => {
  const gateway = await withAda(t)
  const times: Record<string, number[]> = { 'ada@example.com': [], 'nobody@example.com': [] }
  const answers: Record<string, Set<string>> = { 'ada@example.com': new Set(), 'nobody@example.com': new Set() }
  for (let n = 0; n < 5; n++) {
    for (const email of Object.keys(times)) {
      const started = performance.now()
      const answer = await signIn(gateway, { email, password: 'wrong password' })
      times[email]?.push(performance.now() - started)
      answers[email]?.add(`${answer.status} ${answer.text}`)
    }
  }
  const [known, unknown] = Object.values(answers).map((set) => [...set].join())
  assert.equal(known, unknown)
  assert.match(String(known), /^401 .*sign_in_failed/)
  const [a, b] = Object.values(times).map((all) => all.sort((x, y) => x - y)[2] as number) as [number, number]
  assert.ok(Math.max(a, b) / Math.min(a, b) < 3, `${a} ms and ${b} ms`)
  for (const email of Object.keys(times)) {
    const delayed = await signIn(gateway, { email, password: PASSWORD })
    assert.equal(delayed.status, 429, email)
    assert.equal(delayed.json.error.code, 'sign_in_delayed')
  }
})

test('T85: ten thousand tries against one account, or from one address, get a few hundred guesses in a day', () => {
  let now = 0
  const guess = (account: (n: number) => string, address: (n: number) => string) => {
    const attempts = createAttempts(() => now)
    let guesses = 0
    for (let n = 0; n < 10_000; n++) {
      now += 1_000
      try {
        attempts.check(account(n), address(n))
        guesses++
        attempts.failed(account(n), address(n))
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'sign_in_delayed')
      }
    }
    return guesses
  }
  const oneAccount = guess(
    () => 'ada@example.com',
    (n) => `192.0.2.${n}`,
  )
  const oneAddress = guess(
    (n) => `user${n}@example.com`,
    () => '192.0.2.1',
  )
  assert.ok(oneAccount < 400 && oneAddress < 400, `${oneAccount} and ${oneAddress} of 10,000`)
  const attempts = createAttempts(() => now)
  for (let n = 0; n < 30_000; n++) attempts.failed(`a${n}`, `b${n}`)
  attempts.failed('victim@example.com', 'somewhere')
  attempts.check('victim@example.com', 'elsewhere')
})
