/** Scripts that were written for LiteLLM go on working, and what cannot be done for them is said. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, exchange, type Running, runGateway } from '../running/index.ts'

const MODEL = 'gpt-4o-mini'
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

async function withApi(t: Parameters<typeof runGateway>[0], others = ['rate-limits', 'budgets']) {
  const gateway = await runGateway(t)
  for (const id of ['keys', 'litellm-api', ...others]) await gateway.admin('PUT', `modules/${id}`, { mode: 'enforce' })
  await gateway.admin('PUT', 'prices/openai%2Fgpt-4o-mini', { prices: [{ rates: { input: '0', output: '1000' } }] })
  const call = (method: string, path: string, body?: unknown, key = gateway.adminKey): Promise<Answer> =>
    exchange(`${gateway.url}/${path}`, method, body, bearer(key))
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  const done = async (method: string, path: string, body?: unknown): Promise<any> => {
    const answer = await call(method, path, body)
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`)
    return answer.json
  }
  return { gateway, call, done }
}
const ask = (gateway: Running, key: string, more: object = {}) =>
  gateway.chat(MODEL, 'hello', { max_tokens: 100, ...more }, bearer(key))

const ROUTES: readonly [string, string][] = [
  ...['generate', 'update', 'delete', 'block', 'unblock', 'regenerate'].map((n): [string, string] => [
    'POST',
    `key/${n}`,
  ]),
  ...['new', 'update', 'member_add'].map((n): [string, string] => ['POST', `team/${n}`]),
  ['POST', 'user/new'],
  ...['key/info', 'key/list', 'team/info?team_id=x', 'team/list', 'user/info', 'spend/logs', 'model/info'].map(
    (path): [string, string] => ['GET', path],
  ),
  ...['health/liveliness', 'health/readiness'].map((path): [string, string] => ['GET', path]),
]

test('the routes are there only while the module is on, switched at run time; off, they are any unknown path', async (t) => {
  const gateway = await runGateway(t)
  const status = async ([method, path]: [string, string]) =>
    (await exchange(`${gateway.url}/${path}`, method, method === 'POST' ? {} : undefined, bearer(gateway.adminKey)))
      .status
  const unknown = await exchange(`${gateway.url}/no/such/path`, 'POST', {})
  for (const route of ROUTES) assert.equal(await status(route), 404, route.join(' '))
  const off = await exchange(`${gateway.url}/key/generate`, 'POST', {}, bearer(gateway.adminKey))
  assert.equal(off.text.replace('/key/generate', ''), unknown.text.replace('/no/such/path', ''))
  assert.match(
    (await exchange(`${gateway.url}/api/modules/litellm-api`, 'PUT', { mode: 'enforce' }, bearer(gateway.adminKey)))
      .text,
    /needs module \\"keys\\"/,
  )
  const { pipeline } = gateway.served.gateway.snapshot
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  const hooks = () => Object.values(gateway.served.gateway.snapshot.pipeline).flat() as { readonly id: string }[]
  await gateway.admin('PUT', 'modules/litellm-api', { mode: 'enforce' })
  assert.ok(!hooks().some(({ id }) => id === 'litellm-api'), 'it is in no phase of a request')
  assert.equal(pipeline.authenticate.length, 0)
  for (const route of ROUTES) assert.notEqual(await status(route), 405, route.join(' '))
  assert.equal(await status(['GET', 'team/list']), 200)
  await gateway.admin('PUT', 'modules/litellm-api', { mode: 'off' })
  for (const route of ROUTES) assert.equal(await status(route), 404, route.join(' '))
})

test('a key: made, asked with, shown, changed, blocked, renewed, listed and removed, as a script of LiteLLM does it', async (t) => {
  const { gateway, call, done } = await withApi(t)
  const made = await done('POST', 'key/generate', {
    key_alias: 'chat app',
    models: [MODEL],
    duration: '30d',
    max_budget: 10,
    budget_duration: '30d',
    soft_budget: 5,
    tpm_limit: 100_000,
    rpm_limit: 3,
    max_parallel_requests: 7,
    metadata: { team: 'core-infra' },
    tags: ['prod'],
    aliases: {},
    permissions: {},
    config: {},
    user_id: null,
    spend: 0,
  })
  assert.match(made.key, /^sk-sy-/)
  const days = (Date.parse(made.expires) - Date.now()) / 86_400_000
  assert.ok(days > 29.9 && days < 30.1)
  for (const stream of [false, true]) assert.equal((await ask(gateway, made.key, { stream })).status, 200)
  const { key, info } = await done('GET', `key/info?key=${made.key}`)
  assert.equal(key, made.key)
  assert.ok(info.spend > 0)
  const { spend: _, expires: __, budget_reset_at, created_at, updated_at, key_name, token, token_id, ...rest } = info
  assert.deepEqual(rest, {
    key_alias: 'chat app',
    models: [MODEL],
    aliases: {},
    config: {},
    permissions: {},
    user_id: null,
    team_id: null,
    organization_id: null,
    metadata: { team: 'core-infra' },
    tags: ['prod'],
    blocked: false,
    max_budget: 10,
    soft_budget: 5,
    budget_duration: '1mo',
    tpm_limit: 100_000,
    rpm_limit: 3,
    max_parallel_requests: 7,
    model_max_budget: {},
    model_tpm_limit: {},
    model_rpm_limit: {},
  })
  for (const at of [budget_reset_at, created_at, updated_at]) assert.ok(Date.parse(at) > 0)
  assert.equal(token, token_id)
  assert.ok(!made.key.slice(20).includes(key_name))
  // It is a key like all others.
  const row = await gateway.admin('GET', `keys/${token}`)
  assert.equal(row.name, 'chat app')
  assert.equal((await gateway.admin('GET', `limits?at=key:${token}`)).limits.length, 3)
  assert.equal((await gateway.admin('GET', `budgets?at=key:${token}`)).budgets.length, 2)
  // The key asks about itself; about nothing else.
  assert.equal((await call('GET', 'key/info', undefined, made.key)).json.info.key_alias, 'chat app')
  const other = await done('POST', 'key/generate', {})
  assert.equal((await call('GET', `key/info?key=${other.key}`, undefined, made.key)).status, 404)
  assert.equal((await call('POST', 'key/generate', {}, made.key)).status, 401)

  await ask(gateway, made.key)
  assert.equal((await ask(gateway, made.key)).status, 429, 'three a minute')
  const changed = await done('POST', 'key/update', { key: made.key, rpm_limit: null, max_budget: 0.001, models: [] })
  assert.equal(changed.rpm_limit, null)
  assert.equal(changed.max_budget, 0.001)
  assert.deepEqual(changed.models, [])
  assert.equal(changed.tpm_limit, 100_000, 'what is not named stays')
  const over = await ask(gateway, made.key)
  assert.equal(over.json.error.type, 'budget_exceeded')
  await done('POST', 'key/update', { key: token, max_budget: null, budget_duration: '1d' })
  assert.equal((await ask(gateway, made.key)).status, 200)

  assert.equal((await done('POST', 'key/block', { key: made.key })).blocked, true)
  assert.equal((await ask(gateway, made.key)).status, 401)
  assert.equal((await done('POST', 'key/unblock', { key: made.key })).blocked, false)
  const renewed = await done('POST', `key/${made.key}/regenerate`, { grace_period: '1h', max_parallel_requests: 9 })
  assert.notEqual(renewed.key, made.key)
  assert.equal(renewed.token, token)
  assert.equal(renewed.max_parallel_requests, 9)
  assert.equal((await ask(gateway, made.key)).status, 200, 'until the overlap ends')
  const again = await done('POST', 'key/regenerate', { key: renewed.key })
  assert.equal((await ask(gateway, renewed.key)).status, 401, 'at once, unless told')
  assert.equal((await ask(gateway, again.key)).status, 200)

  const list = await done('GET', 'key/list?size=1&page=2')
  assert.deepEqual({ ...list, keys: list.keys.length }, { keys: 1, total_count: 2, current_page: 2, total_pages: 2 })
  const found = await done('GET', 'key/list?key_alias=chat%20app&return_full_object=true')
  assert.equal(found.keys[0].token, token)
  assert.deepEqual(await done('POST', 'key/delete', { key_aliases: ['chat app'], keys: [other.key] }), {
    deleted_keys: [other.key, token],
  })
  assert.equal((await ask(gateway, again.key)).status, 401)
  assert.equal((await call('GET', `key/info?key=${token}`)).status, 404)
  assert.deepEqual((await gateway.admin('GET', `budgets?at=key:${token}`)).budgets, [])
})

test('what cannot be honored is an error that says so, and changes nothing', async (t) => {
  const { gateway, call, done } = await withApi(t, [])
  const refused = async (path: string, body: object, problem: RegExp, status = 400) => {
    const answer = await call('POST', path, body)
    assert.equal(answer.status, status, answer.text)
    assert.match(answer.json.error.message, problem)
  }
  const generate = (body: object, problem: RegExp, status?: number) => refused('key/generate', body, problem, status)
  await generate({ max_budget: 1 }, /module "budgets" is off/, 409)
  await generate({ rpm_limit: 1 }, /module "rate-limits" is off/, 409)
  await gateway.admin('PUT', 'modules/budgets', { mode: 'enforce' })
  await generate({ aliases: { 'gpt-4': 'mine' } }, /"aliases" is not honored.*\/api\/aliases/)
  await generate({ permissions: { pii: false } }, /"permissions" is not honored/)
  await generate({ guardrails: ['x'] }, /"guardrails" is not honored/)
  await generate({ budget_id: 'b' }, /"budget_id"/)
  await generate({ key: 'sk-mine' }, /"key" is not honored/)
  await generate({ duration: 'soon' }, /duration: "soon" is no duration/)
  await generate({ max_budget: 1, budget_duration: '5mo' }, /1mo, 3mo or 12mo/)
  await generate({ max_bugdet: 1 }, /max_bugdet: there is no such field. Did you mean "max_budget"/)
  await generate({ max_budget: -1 }, /max_budget/)
  await generate({ team_id: 'nowhere' }, /team/, 404)
  await generate({ models: ['no-default-models'] }, /no-default-models/)
  await refused('user/new', { send_invite_email: true, user_id: 'ada' }, /"send_invite_email" is not honored/)
  await refused('team/new', { model_aliases: { a: 'b' } }, /"model_aliases" is not honored/)
  assert.deepEqual((await gateway.admin('GET', 'keys')).keys, [])
  assert.deepEqual((await gateway.admin('GET', 'teams')).teams, [])
  // Nothing is left of what fails half-way: the budget is refused after the key was made.
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  await gateway.admin('POST', 'teams', { id: 'ml', organization: 'acme', models: ['gpt-4o*'] })
  await generate({ team_id: 'ml', models: ['o3'] }, /more than what is above allows/, 403)
  const { token } = await done('POST', 'key/generate', { team_id: 'ml', max_budget: 1 })
  await refused('key/update', { key: token, max_budget: 2, models: ['o3'] }, /more than what is above/, 403)
  await refused('key/update', { key: token, team_id: 'other' }, /a key stays where it was made/)
  assert.equal((await done('GET', `key/info?key=${token}`)).info.max_budget, 1)
})

test('teams and users: made, limited, shown; members are added, and their money in the team is theirs', async (t) => {
  const { gateway, call, done } = await withApi(t)
  const team = await done('POST', 'team/new', {
    team_alias: 'Machine learning',
    models: ['gpt-4o*'],
    max_budget: 0.02,
    budget_duration: '1d',
    tpm_limit: 50_000,
    metadata: { floor: 3 },
  })
  assert.match(team.team_id, /^[0-9a-f-]{36}$/)
  assert.equal(team.organization_id, 'default')
  assert.equal(team.budget_duration, '1d')
  const user = await done('POST', 'user/new', {
    user_id: 'ada@example.com',
    user_role: 'internal_user',
    teams: [team.team_id],
    max_budget: 50,
    budget_duration: '7d',
    key_alias: 'adas',
  })
  assert.equal(user.user_id, 'ada@example.com')
  assert.equal(user.max_budget, 50)
  assert.match(user.key, /^sk-sy-/)
  const added = await done('POST', 'team/member_add', {
    team_id: team.team_id,
    member: [
      { role: 'admin', user_id: 'grace' },
      { role: 'user', user_email: 'ada@example.com' },
    ],
    max_budget_in_team: 1,
  })
  assert.deepEqual(
    added.members_with_roles.map((m: { user_id: string; role: string }) => `${m.user_id} ${m.role}`).sort(),
    ['ada@example.com user', 'grace admin'],
  )
  assert.equal(added.updated_users.length, 2)
  assert.equal((await gateway.admin('GET', 'users?organization=default')).users.length, 2)
  const { key } = await done('POST', 'key/generate', { team_id: team.team_id, user_id: 'ada@example.com' })
  const statuses: number[] = []
  for (let n = 0; n < 8; n++) statuses.push((await ask(gateway, key, { max_tokens: 10 })).status)
  assert.equal(statuses[0], 200)
  assert.equal(statuses.at(-1), 429, 'the money of the team is gone')
  const info = await done('GET', `team/info?team_id=${team.team_id}`)
  assert.ok(info.team_info.spend > 0.009)
  assert.equal(info.team_info.members_with_roles.length, 2)
  assert.equal(info.keys.length, 1)
  assert.equal(info.keys[0].user_id, 'ada@example.com')
  const raised = await done('POST', 'team/update', { team_id: team.team_id, max_budget: 10, team_alias: 'ML' })
  assert.equal(raised.data.max_budget, 10)
  assert.equal(raised.data.team_alias, 'ML')
  assert.equal((await ask(gateway, key)).status, 200)
  assert.equal((await ask(gateway, key, { model: 'o3' })).status, 403)
  assert.deepEqual(
    (await done('GET', 'team/list')).map(({ team_id }: { team_id: string }) => team_id),
    [team.team_id],
  )
  const person = await done('GET', 'user/info?user_id=ada@example.com')
  assert.equal(person.user_info.user_role, 'internal_user')
  assert.ok(person.user_info.spend > 0)
  assert.equal(person.keys.length, 2)
  assert.equal(person.teams[0].team_id, team.team_id)
  assert.equal((await call('POST', 'user/new', { user_id: 'ada@example.com' })).status, 409)
  // A script names whoever its own house knows.
  const first = await done('POST', 'key/generate', { team_id: team.team_id, user_id: 'hopper' })
  assert.equal((await ask(gateway, first.key, { max_tokens: 10 })).status, 200)
  const owner = await done('GET', 'user/info?user_id=hopper')
  assert.deepEqual([owner.keys.length, owner.teams[0].team_id], [1, team.team_id])
  assert.equal((await call('POST', 'key/generate', { user_id: 'nobody-yet', models: 'x' })).status, 400)
  assert.equal((await call('POST', 'key/generate', { user_id: 'nobody-yet', team_id: 'no-team' })).status, 404)
  assert.equal((await call('GET', 'user/info?user_id=nobody-yet')).status, 404)
})

test('spend, models and health; each call is by our roles and on the record', async (t) => {
  const { gateway, call, done } = await withApi(t)
  await gateway.admin('PUT', 'routes/house', { targets: [{ upstream: 'openai', model: MODEL }] })
  const { key, token } = await done('POST', 'key/generate', { models: ['house'], tags: ['prod'] })
  const answer = await gateway.chat('house', 'hello', { user: 'end-1' }, bearer(key))
  const [entry] = await done('GET', `spend/logs?api_key=${key}`)
  const { completion_tokens, prompt_tokens, total_tokens } = answer.json.usage
  assert.equal(entry.request_id, answer.headers['x-stockyard-request-id'])
  assert.equal(entry.spend, Number(answer.headers['x-stockyard-cost-usd']))
  assert.deepEqual(
    [entry.prompt_tokens, entry.completion_tokens, entry.total_tokens],
    [prompt_tokens, completion_tokens, total_tokens],
  )
  assert.equal(entry.api_key, token)
  assert.equal(entry.end_user, 'end-1')
  assert.deepEqual(entry.request_tags, ['prod'])
  assert.equal((await done('GET', `spend/logs?request_id=${entry.request_id}`)).length, 1)
  const day = entry.startTime.slice(0, 10)
  const [sum] = await done('GET', `spend/logs?start_date=${day}&end_date=${day}`)
  assert.deepEqual(sum, {
    startTime: day,
    spend: entry.spend,
    users: { '': entry.spend },
    models: { house: entry.spend },
  })
  assert.equal((await done('GET', `spend/logs?start_date=${day}&end_date=${day}&summarize=false`)).length, 1)
  assert.equal((await call('GET', `spend/logs?start_date=${day}`)).status, 400)

  const all = (await done('GET', 'model/info')).data
  assert.ok(all.length > 1)
  const own = (await call('GET', 'v1/model/info', undefined, key)).json.data
  assert.equal(own.length, 1, 'a key sees what it may use')
  assert.equal(own[0].model_name, 'house')
  assert.equal(own[0].litellm_params.model, `openai/${MODEL}`)
  assert.equal(own[0].model_info.output_cost_per_token, 0.001)
  assert.equal((await call('GET', 'model/info', undefined, 'sk-nobody')).status, 401)

  const alive = await exchange(`${gateway.url}/health/liveliness`, 'GET')
  assert.equal(alive.text, `"I'm alive!"`)
  const ready = await exchange(`${gateway.url}/health/readiness`, 'GET')
  assert.equal(ready.json.status, 'healthy')
  assert.equal(ready.json.db, 'connected')

  assert.equal((await exchange(`${gateway.url}/key/generate`, 'POST', {})).status, 401)
  await gateway.admin('POST', 'users', {
    email: 'eve@example.com',
    password: 'correct horse battery staple',
    memberships: [{ role: 'viewer' }],
  })
  const signedIn = await exchange(`${gateway.url}/api/session`, 'POST', {
    email: 'eve@example.com',
    password: 'correct horse battery staple',
  })
  const cookie = /^[^;]+/.exec(String(signedIn.headers['set-cookie']))?.[0] ?? ''
  const viewer = (method: string, path: string, body?: unknown) =>
    exchange(`${gateway.url}/${path}`, method, body, { cookie })
  assert.equal((await viewer('GET', `key/info?key=${token}`)).status, 200)
  assert.equal((await viewer('POST', 'key/generate', {})).status, 403)
  assert.equal((await viewer('POST', 'key/delete', { keys: [token] })).status, 403)
  assert.equal((await viewer('POST', 'team/new', {})).status, 403)
  const changes = gateway.served.gateway.store.directory.changes(0, 1_000)
  assert.ok(
    changes.some(
      ({ action, actor, object }) => action === 'key.create' && actor === 'admin' && object === `key/${token}`,
    ),
  )
})
