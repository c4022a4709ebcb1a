/**
 * Who may do what through the admin API: every route, every role, every method, asked over real sockets and compared with
 * the table that the routes themselves declare; and whose objects those are.
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { TObject } from 'typebox'
import { Value } from 'typebox/value'
import { ROLES, type Role } from '../../src/core/directory.ts'
import { ACTIONS_OF } from '../../src/core/roles.ts'
import { directoryRoutes } from '../../src/http/admin/directory/index.ts'
import { coreRoutes, needsOf } from '../../src/http/admin/index.ts'
import { urlOf } from '../../src/http/admin/route.ts'
import { modules } from '../../src/modules/index.ts'
import { type Answer, exchange, type Running, runGateway } from '../running/index.ts'

const PASSWORD = 'correct horse battery staple'

async function signIn(gateway: Running, email: string): Promise<string> {
  const answer = await exchange(`${gateway.url}/api/session`, 'POST', { email, password: PASSWORD })
  assert.equal(answer.status, 200, answer.text)
  return /^[^;]+/.exec(String(answer.headers['set-cookie']))?.[0] ?? ''
}

type Call = (method: string, path: string, body?: unknown) => Promise<Answer>
const caller =
  (gateway: Running, cookie: string | undefined): Call =>
  (method, path, body) =>
    exchange(
      path.startsWith('/') ? gateway.url + path : `${gateway.url}/api/${path}`,
      method,
      body ?? (method === 'GET' || method === 'HEAD' || method === 'TRACE' ? undefined : {}),
      cookie === undefined ? {} : { cookie },
    )

/** One signed-in caller for each role at a place, made in one go: the hash of one password serves all of them. */
async function callers(gateway: Running, places: Readonly<Record<string, object>>): Promise<Record<string, Call>> {
  const all: Record<string, Call> = { nobody: caller(gateway, undefined) }
  for (const [place, where] of Object.entries(places)) {
    for (const role of ROLES) {
      const id = `${place}-${role}`
      const email = `${id}@example.com`
      await gateway.admin('POST', 'users', { id, email, password: PASSWORD, memberships: [{ ...where, role }] })
      all[id] = caller(gateway, await signIn(gateway, email))
    }
  }
  return all
}

const routes = [...coreRoutes, ...modules.flatMap((module) => module.admin ?? [])]
const concrete = (path: string) => path.replace(/:\w+|\*/g, 'no-such-thing')

test('T67: route × role × method: what is allowed is what the routes declare, and nothing else is there', async (t) => {
  const gateway = await runGateway(t)
  for (const module of modules) {
    if (!module.admin) continue
    for (const id of [...(module.requires ?? []), module.id])
      await gateway.admin('PUT', `modules/${id}`, { mode: 'enforce' }).catch(() => {})
  }
  const who = await callers(gateway, { instance: {} })
  const declared = new Map<string, Set<string>>()
  const wrong: string[] = []
  let asked = 0
  for (const route of routes) {
    // Those of other products' paths are told by their slash.
    const path = concrete('root' in route && route.root ? urlOf(route) : route.path)
    declared.set(path, (declared.get(path) ?? new Set()).add(route.method))
    const needs = needsOf(route)
    if (needs === 'public') continue
    for (const [name, call] of Object.entries(who)) {
      const role = name.split('-')[1] as Role | undefined
      const { status } = await call(route.method, `${path}?dry=1`)
      const may =
        role !== undefined && (needs === 'signed-in' || needs === 'caller' || ACTIONS_OF[role].includes(needs))
      // What is allowed may still be refused for what it says, or because it asks for nothing that is there.
      const expected = role === undefined ? [401] : may ? [200, 400, 403, 404, 409] : [403]
      const strict =
        may && needs !== 'signed-in' && needs !== 'caller' ? expected.filter((one) => one !== 403) : expected
      if (!strict.includes(status)) wrong.push(`${name} ${route.method} ${path}: ${status}, not ${strict}`)
      asked++
    }
  }
  for (const [path, methods] of declared) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      if (methods.has(method)) continue
      for (const name of ['nobody', 'instance-member', 'instance-owner']) {
        const { status } = await (who[name] as Call)(method, path)
        if (![404, 405, 400, 401].includes(status)) wrong.push(`${name} ${method} ${path}: ${status}`)
        asked++
      }
    }
  }
  assert.deepEqual(wrong, [])
  assert.ok(asked > 500, String(asked))
  assert.equal((await (who['instance-owner'] as Call)('GET', 'no-such-route')).status, 404)
})

async function tenants(t: TestContext) {
  const gateway = await runGateway(t)
  for (const [organization, team] of [
    ['acme', 'ml'],
    ['globex', 'sales'],
  ] as const) {
    await gateway.admin('POST', 'organizations', { id: organization, models: ['gpt-4o*'], permissions: ['cache'] })
    await gateway.admin('POST', 'teams', { id: team, organization })
    await gateway.admin('POST', 'users', {
      id: `${team}-service`,
      kind: 'service',
      memberships: [{ team, role: 'member' }],
    })
  }
  const key = async (team: string) =>
    (await gateway.admin('POST', 'keys', { team, user: `${team}-service` })).id as string
  const figures = async (team: string) => {
    await gateway.admin('POST', 'limits', {
      id: `${team}-limit`,
      scope: { team },
      counts: 'requests',
      per: 'minute',
      amount: 5,
    })
    await gateway.admin('POST', 'budgets', {
      id: `${team}-budget`,
      scope: { team },
      amountUsd: '5',
      window: { kind: 'lifetime' },
    })
  }
  await figures('ml')
  await figures('sales')
  return { gateway, own: await key('ml'), foreign: await key('sales') }
}

/** `200`, `403`, `404` by role: owner, admin, member, viewer, auditor. */
type Expected = readonly [number, number, number, number, number]

test('T68, A7: own and foreign objects: a foreign id is 404 for everybody, an own one is what the role says', async (t) => {
  const { gateway, own, foreign } = await tenants(t)
  const who = await callers(gateway, { org: { organization: 'acme' }, team: { organization: 'acme', team: 'ml' } })
  const at = (key: string, team: string, organization: string) =>
    [
      ['GET', `organizations/${organization}`, undefined],
      ['PUT', `organizations/${organization}`, { name: 'x' }],
      ['DELETE', `organizations/${organization}`, undefined],
      ['GET', `teams/${team}`, undefined],
      ['PUT', `teams/${team}`, { name: 'x' }],
      ['DELETE', `teams/${team}`, undefined],
      ['GET', `users/${team}-service`, undefined],
      ['PUT', `users/${team}-service`, { name: 'x' }],
      ['DELETE', `users/${team}-service`, undefined],
      ['GET', `keys/${key}`, undefined],
      ['PUT', `keys/${key}`, { name: 'x' }],
      ['POST', `keys/${key}/rotate`, {}],
      ['POST', `keys/${key}/block`, {}],
      ['POST', `keys/${key}/unblock`, {}],
      ['DELETE', `keys/${key}`, undefined],
      ['GET', `limits/${team}-limit`, undefined],
      ['PUT', `limits/${team}-limit`, { amount: 6 }],
      ['DELETE', `limits/${team}-limit`, undefined],
      ['GET', `budgets/${team}-budget`, undefined],
      ['PUT', `budgets/${team}-budget`, { amountUsd: '6' }],
      ['DELETE', `budgets/${team}-budget`, undefined],
      ['POST', 'keys', { team }],
      ['POST', 'limits', { scope: { team }, counts: 'requests', per: 'minute', amount: 9 }],
      ['POST', 'budgets', { scope: { key }, amountUsd: '9', window: { kind: 'lifetime' } }],
    ] as const
  const rowsOf = async (place: string, calls: ReturnType<typeof at>) => {
    const rows: Record<string, Expected> = {}
    for (const [method, path, body] of calls) {
      const statuses: number[] = []
      for (const role of ROLES) {
        statuses.push((await (who[`${place}-${role}`] as Call)(method, `${path}?dry=1`, body)).status)
      }
      rows[`${method} ${path}${path.includes('/') ? '' : ` ${JSON.stringify(body).slice(1, 12)}`}`] = statuses as never
    }
    return rows
  }
  for (const place of ['org', 'team']) {
    const rows = await rowsOf(place, at(foreign, 'sales', 'globex'))
    for (const [call, statuses] of Object.entries(rows))
      assert.deepEqual(statuses, [404, 404, 404, 404, 404], `${place}: ${call}`)
  }
  const none: Expected = [404, 404, 404, 404, 404]
  const table = (names: Record<string, Expected>) => names
  const inOrganization = await rowsOf(
    'org',
    at('KEY', 'ml', 'acme').map(
      ([m, p, b]) => [m, p.replace('KEY', own), b && JSON.parse(JSON.stringify(b).replace('KEY', own))] as never,
    ) as never,
  )
  const seen: Expected = [200, 200, 404, 200, 404]
  const managed: Expected = [200, 200, 404, 403, 404]
  const known: Expected = [200, 200, 200, 200, 200]
  const notTheirs: Expected = [403, 403, 403, 403, 403]
  assert.deepEqual(
    inOrganization,
    table({
      'GET organizations/acme': known,
      'PUT organizations/acme': notTheirs,
      'DELETE organizations/acme': notTheirs,
      'GET teams/ml': seen,
      'PUT teams/ml': managed,
      'DELETE teams/ml': managed,
      'GET users/ml-service': seen,
      'PUT users/ml-service': managed,
      'DELETE users/ml-service': managed,
      [`GET keys/${own}`]: seen,
      [`PUT keys/${own}`]: managed,
      [`POST keys/${own}/rotate`]: managed,
      [`POST keys/${own}/block`]: managed,
      [`POST keys/${own}/unblock`]: managed,
      [`DELETE keys/${own}`]: managed,
      'GET limits/ml-limit': seen,
      'PUT limits/ml-limit': managed,
      'DELETE limits/ml-limit': managed,
      'GET budgets/ml-budget': seen,
      'PUT budgets/ml-budget': managed,
      'DELETE budgets/ml-budget': managed,
      'POST keys "team":"ml"': [200, 200, 200, 403, 404],
      'POST limits "scope":{"t': managed,
      'POST budgets "scope":{"k': managed,
    }),
  )
  // A team's own administrators manage what is in it, and not what bounds it.
  const inTeam = await rowsOf('team', at(own, 'ml', 'acme'))
  const bounded: Expected = [403, 403, 404, 403, 404]
  assert.deepEqual(inTeam['PUT teams/ml'], notTheirs)
  assert.deepEqual(inTeam['PUT limits/ml-limit'], bounded)
  assert.deepEqual(inTeam['DELETE budgets/ml-budget'], bounded)
  assert.deepEqual(inTeam['POST limits "scope":{"t'], bounded)
  assert.deepEqual(inTeam['POST budgets "scope":{"k'], managed)
  assert.deepEqual(inTeam[`PUT keys/${own}`], managed)
  assert.deepEqual(inTeam['GET teams/ml'], known)
  assert.ok(none)
})

test('A7, T68: a child never exceeds its parent: models, permissions, endpoints, roles, other people’s keys', async (t) => {
  const { gateway } = await tenants(t)
  const who = await callers(gateway, { org: { organization: 'acme' }, team: { organization: 'acme', team: 'ml' } })
  const member = who['team-member'] as Call
  const admin = who['org-admin'] as Call
  for (const [call, body, status] of [
    [member, { models: ['gpt-4o-mini'] }, 200],
    [member, { models: ['*'] }, 403],
    [member, { models: ['gpt-4o', 'o1'] }, 403],
    [member, { permissions: ['cache'] }, 200],
    [member, { permissions: ['logging'] }, 403],
    [member, { endpoints: ['native'] }, 403],
    [member, { endpoints: ['*'] }, 403],
    [member, { endpoints: ['chat'] }, 200],
    [member, { user: 'ml-service' }, 403],
    [member, { team: 'sales' }, 404],
    [member, { organization: 'acme' }, 403],
    [admin, { team: 'ml', models: ['o1'] }, 403],
    [admin, { team: 'ml', permissions: ['routing'] }, 403],
    [admin, { team: 'ml', user: 'ml-service' }, 200],
    [admin, { team: 'ml', user: 'sales-service' }, 404],
    [admin, {}, 200],
  ] as const) {
    const answer = await call('POST', 'keys?dry=1', body)
    assert.equal(answer.status, status, `${JSON.stringify(body)}: ${answer.text}`)
  }
  // A member's key belongs to the member, in the place of its role, and is managed by it.
  const mine = (await member('POST', 'keys', { name: 'mine' })).json
  assert.equal(mine.user, 'team-member')
  assert.equal(mine.team, 'ml')
  assert.deepEqual(
    (await member('GET', 'keys')).json.keys.map((key: { id: string }) => key.id),
    [mine.id],
  )
  assert.equal((await member('PUT', `keys/${mine.id}`, { models: ['o1'] })).status, 403)
  assert.equal((await member('POST', `keys/${mine.id}/rotate`, {})).status, 200)
  await admin('POST', `keys/${mine.id}/block`, {})
  assert.equal((await member('POST', `keys/${mine.id}/unblock`, {})).status, 403)
  // Roles: for every pair, what may be given is within what the giver has.
  for (const giver of ROLES) {
    for (const given of ROLES) {
      for (const where of [
        { organization: 'acme' },
        { team: 'ml' },
        {},
        { organization: 'globex' },
        { team: 'sales' },
      ]) {
        const body = { kind: 'service', memberships: [{ ...where, role: given }] }
        const { status } = await (who[`org-${giver}`] as Call)('POST', 'users?dry=1', body)
        const inside =
          'team' in where ? where.team === 'ml' : (where as { organization?: string }).organization === 'acme'
        const may =
          inside &&
          ACTIONS_OF[giver].includes('manage') &&
          ACTIONS_OF[given].every((action) => ACTIONS_OF[giver].includes(action))
        assert.equal(status === 200, may, `${giver} gives ${given} at ${JSON.stringify(where)}: ${status}`)
      }
    }
  }
  const self = await admin('PUT', 'users/org-admin', { memberships: [{ organization: 'acme', role: 'owner' }] })
  assert.equal(self.status, 403)
  assert.equal((await admin('PUT', 'users/org-owner', { memberships: [] })).status, 403)
  assert.equal((await admin('PUT', 'users/org-owner/password', { password: PASSWORD })).status, 403)
})

test('T83: fields that nobody declared are refused on every write and in no answer', async (t) => {
  const { gateway, own } = await tenants(t)
  const created: Record<string, object> = {
    organizations: { id: 'extra' },
    teams: { id: 'extra', organization: 'acme' },
    users: { id: 'extra', email: 'extra@example.com', password: PASSWORD },
    keys: { name: 'extra' },
    limits: { id: 'extra', scope: {}, counts: 'parallel', amount: 1 },
    budgets: {
      id: 'extra',
      scope: {},
      amountUsd: '1',
      window: { kind: 'rolling', seconds: 18_000 },
      raises: [{ amountUsd: '2', until: '2030-01-01T00:00:00Z' }],
    },
    terms: { id: 'extra', scope: { organization: 'acme' }, payment: 'statements', markup: '20' },
    grants: { id: 'extra', scope: { team: 'ml' }, amountUsd: '1', expiresAt: '2030-01-01T00:00:00Z' },
  }
  const idOf = (path: string) => (path.startsWith('keys') ? own : 'extra')
  let answers = 0
  const order = ['POST', 'PUT', 'GET'] as const
  for (const method of order) {
    for (const route of directoryRoutes) {
      if (route.method !== method) continue
      const path = route.path.replace(':id', idOf(route.path))
      const body = route.body
        ? (created[path] ??
          (path.endsWith('/password')
            ? { password: PASSWORD }
            : {
                ...(path.startsWith('limits')
                  ? { amount: 2 }
                  : path.startsWith('budgets')
                    ? { amountUsd: '3' }
                    : path.includes('/block') || path.includes('rotate')
                      ? {}
                      : { name: 'n' }),
              }))
        : undefined
      const answer = await gateway.admin(method, path, body)
      const problems = [...Value.Errors(route.answer as TObject, answer)].map((e) => `${e.instancePath} ${e.message}`)
      assert.deepEqual(problems, [], `${method} ${path}`)
      assert.doesNotMatch(JSON.stringify(answer), /"(mac|replaced|salt|hash|proof)"/)
      answers++
      if (!route.body) continue
      for (const field of ['version', 'proof', 'isAdmin', '__proto__', 'createdAt', 'key']) {
        const text = JSON.stringify({ ...body, EXTRA: 1 }).replace('"EXTRA"', JSON.stringify(field))
        const refused = await exchange(`${gateway.url}/api/${path}`, method, text, {
          authorization: `Bearer ${gateway.adminKey}`,
        })
        assert.equal(refused.status, 400, `${method} ${path} with ${field}`)
      }
    }
  }
  assert.ok(answers > 20)
})
