/** A109: whoever is no administrator sees what is theirs: keys, usage, logs; nobody sees more than their role shows. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exchange, runGateway, until } from '../running/index.ts'

const password = 'correct horse battery staple'

test('A109: a member sees its own usage and logs, a team’s administrator the team’s, an auditor only reads', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  for (const team of ['ml', 'sales']) await gateway.admin('POST', 'teams', { id: team, organization: 'acme' })
  const people = {
    ada: ['ml', 'member'],
    bob: ['ml', 'member'],
    tim: ['ml', 'admin'],
    sue: ['sales', 'admin'],
  } as const
  const cookies: Record<string, string> = {}
  const signedIn = async (id: string, memberships: object[]) => {
    await gateway.admin('POST', 'users', { id, email: `${id}@example.com`, password, memberships })
    const answer = await exchange(`${gateway.url}/api/session`, 'POST', { email: `${id}@example.com`, password })
    cookies[id] = /^[^;]+/.exec(String(answer.headers['set-cookie']))?.[0] ?? ''
  }
  for (const [id, [team, role]] of Object.entries(people)) await signedIn(id, [{ team, role }])
  await signedIn('eve', [{ organization: 'acme', role: 'auditor' }])
  const get = (id: string, path: string) =>
    exchange(`${gateway.url}/api/${path}`, 'GET', undefined, { cookie: cookies[id] as string })
  for (const [id, [team]] of Object.entries(people)) {
    const { key } = await gateway.admin('POST', 'keys', { team, user: id })
    const answer = await gateway.chat('gpt-4o-mini', id, { user: `end-${id}` }, { authorization: `Bearer ${key}` })
    assert.equal(answer.status, 200)
  }
  const entries = async (id: string, query = '') => {
    const answer = await get(id, `logs?${query}`)
    return answer.status === 200
      ? answer.json.entries
          .map((e: { user: string }) => e.user)
          .sort()
          .join()
      : answer.status
  }
  await until(async () => (await gateway.admin('GET', 'logs')).entries.length === 4, 'all are in the log')
  assert.equal(await entries('ada'), 'ada')
  assert.equal(await entries('ada', 'user=ada'), 'ada')
  assert.equal(await entries('ada', 'user=bob'), 403)
  assert.equal(await entries('ada', 'team=ml'), 403)
  assert.equal(await entries('tim', 'team=ml'), 'ada,bob,tim')
  assert.equal(await entries('tim', 'team=sales'), 403)
  assert.equal(await entries('tim', 'organization=acme'), 403)
  assert.equal(await entries('eve', 'organization=acme'), 'ada,bob,sue,tim')
  assert.equal(await entries('eve', 'organization=globex'), 403)
  assert.equal(await entries('eve'), '')
  const users = async (id: string, query = '') => {
    const answer = await get(id, `usage?groupBy=user,endUser&${query}`)
    return answer.status === 200
      ? answer.json.rows
          .map((row: { group: { user: string; endUser: string } }) => `${row.group.user}:${row.group.endUser}`)
          .sort()
          .join()
      : answer.status
  }
  assert.equal(await users('ada'), 'ada:end-ada')
  assert.equal(await users('ada', 'user=bob'), 403)
  assert.equal(await users('ada', 'team=ml'), 403)
  assert.equal(await users('ada', 'organization=acme&user=ada'), 'ada:end-ada')
  assert.equal(await users('tim', 'team=ml&user=bob'), 'bob:end-bob')
  assert.equal(await users('tim', 'organization=acme&team=sales'), 403)
  assert.equal(await users('eve', 'organization=acme'), 'ada:end-ada,bob:end-bob,sue:end-sue,tim:end-tim')
  const all = (await gateway.admin('GET', 'logs')).entries as { requestId: string; user: string }[]
  const one = async (id: string, whose: string) =>
    (await get(id, `logs/${all.find(({ user }) => user === whose)?.requestId}`)).status
  assert.deepEqual(
    [await one('ada', 'ada'), await one('ada', 'bob'), await one('tim', 'bob'), await one('tim', 'sue')],
    [200, 404, 200, 404],
  )
  assert.equal(await one('eve', 'sue'), 200)
  const change = await exchange(`${gateway.url}/api/keys`, 'POST', { team: 'ml' }, { cookie: cookies.eve as string })
  assert.notEqual(change.status, 200)
})
