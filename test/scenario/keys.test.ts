/** Virtual keys over real sockets: made, used, refused, narrowed, rotated and taken back, with the module switched under traffic. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { exchange, type Running, runGateway, until } from '../running/index.ts'

const models = { upstreams: { openai: 'openai', second: 'openai' } }
const MODEL = 'gpt-4o-mini'

async function withKeys(t: Parameters<typeof runGateway>[0], settings: object = {}): Promise<Running> {
  const gateway = await runGateway(t, models)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce', settings })
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  await gateway.admin('POST', 'teams', { id: 'ml', organization: 'acme' })
  return gateway
}
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const ask = (gateway: Running, key: string | undefined, more: { model?: string; stream?: boolean } = {}) =>
  gateway.chat(more.model ?? MODEL, 'hello', { stream: more.stream ?? false }, key === undefined ? {} : bearer(key))

test('A105: a key works at once with what its making shows; each refusal has a code of its own and a remedy', async (t) => {
  const gateway = await withKeys(t)
  const made = await gateway.admin('POST', 'keys', { name: 'app', team: 'ml' })
  assert.equal(made.organization, 'acme')
  for (const stream of [false, true]) assert.equal((await ask(gateway, made.key, { stream })).status, 200)
  const codes = new Map<string, string>()
  const refused = async (key: string | undefined, status: number, code: string, more: { model?: string } = {}) => {
    for (const stream of [false, true]) {
      const answer = await ask(gateway, key, { ...more, stream })
      assert.equal(answer.status, status, answer.text)
      const { error } = JSON.parse(answer.text)
      assert.equal(error.code, code)
      assert.equal(answer.headers['x-should-retry'], 'false')
      codes.set(code, error.message)
    }
  }
  await refused(undefined, 401, 'key_required')
  await refused('sk-proj-of-a-provider', 401, 'key_malformed')
  await refused(made.key.slice(0, -1), 401, 'key_malformed')
  await refused((await runGatewayKey()).key, 401, 'key_unknown')
  await gateway.admin('POST', `keys/${made.id}/block`)
  await refused(made.key, 401, 'key_blocked')
  await gateway.admin('POST', `keys/${made.id}/unblock`)
  await gateway.admin('PUT', 'teams/ml', { blocked: true })
  await refused(made.key, 401, 'key_blocked')
  await gateway.admin('PUT', 'teams/ml', { blocked: null })
  await gateway.admin('PUT', `keys/${made.id}`, { expiresAt: '2020-01-01T00:00:00Z' })
  await refused(made.key, 401, 'key_expired')
  await gateway.admin('PUT', `keys/${made.id}`, { expiresAt: null, models: ['gpt-4o-*'] })
  await refused(made.key, 403, 'key_model_not_allowed', { model: 'gpt-4.1' })
  assert.equal((await ask(gateway, made.key)).status, 200)
  await gateway.admin('PUT', `keys/${made.id}`, { upstreams: ['second'] })
  await gateway.admin('PUT', `keys/${made.id}`, { models: null })
  await refused(made.key, 403, 'key_upstream_not_allowed', { model: `openai/${MODEL}` })
  const narrowed = await ask(gateway, made.key)
  assert.equal(narrowed.headers['x-stockyard-upstream'], 'second')
  await gateway.admin('PUT', `keys/${made.id}`, { endpoints: ['embeddings'] })
  await refused(made.key, 403, 'key_endpoint_not_allowed')
  await gateway.admin('PUT', `keys/${made.id}`, { endpoints: ['ch*'], ipRanges: ['192.0.2.0/24'] })
  await refused(made.key, 403, 'key_address_not_allowed')
  await gateway.admin('PUT', `keys/${made.id}`, { ipRanges: ['127.0.0.0/8'] })
  assert.equal((await ask(gateway, made.key)).status, 200)
  const next = await gateway.admin('POST', `keys/${made.id}/rotate`, { overlapSeconds: 0 })
  await refused(made.key, 401, 'key_replaced')
  assert.equal((await ask(gateway, next.key)).status, 200)
  assert.equal(codes.size, 10)
  for (const [code, message] of codes) assert.ok(message.length > 40, code)

  async function runGatewayKey() {
    const other = await runGateway(t)
    return other.admin('POST', 'keys', {})
  }
})

test('a rotated key has both secrets until the overlap ends, and keeps its id', async (t) => {
  const gateway = await withKeys(t)
  const made = await gateway.admin('POST', 'keys', { team: 'ml' })
  const next = await gateway.admin('POST', `keys/${made.id}/rotate`, {})
  assert.equal(next.id, made.id)
  assert.ok(Date.parse(next.overlapUntil) - Date.now() > 23 * 3_600_000)
  for (const key of [made.key, next.key]) assert.equal((await ask(gateway, key)).status, 200)
  const rows = await gateway.usage('principal,team,organization')
  assert.deepEqual(
    rows.map((row) => row.group),
    [{ principal: made.id, team: 'ml', organization: 'acme' }],
  )
})

test('A65: GET /v1/models lists what the key may use, in every shape, and nothing else is told of', async (t) => {
  const gateway = await withKeys(t)
  await gateway.admin('PUT', 'routes/house-model', { targets: [{ upstream: 'openai', model: MODEL }] })
  await gateway.admin('PUT', 'teams/ml', { models: ['gpt-4o*', 'house-*'] })
  const made = await gateway.admin('POST', 'keys', { team: 'ml', models: ['gpt-4o', MODEL, 'house-model'] })
  const list = async (path: string, headers: Record<string, string>) =>
    (await exchange(gateway.url + path, 'GET', undefined, headers)).json
  assert.deepEqual(
    (await list('/v1/models', bearer(made.key))).data.map((model: { id: string }) => model.id),
    ['gpt-4o', MODEL, 'house-model'],
  )
  const anthropic = await list('/v1/models?limit=100', { 'x-api-key': made.key, 'anthropic-version': '2023-06-01' })
  assert.deepEqual(
    anthropic.data.map((model: { id: string }) => model.id),
    ['gpt-4o', MODEL, 'house-model'],
  )
  const gemini = await list('/v1beta/models', { 'x-goog-api-key': made.key })
  assert.equal(gemini.models.length, 3)
  const one = (id: string) => exchange(`${gateway.url}/v1/models/${id}`, 'GET', undefined, bearer(made.key))
  assert.equal((await one(MODEL)).status, 200)
  const hidden = await one('gpt-4.1')
  assert.equal(hidden.status, 404)
  assert.doesNotMatch(hidden.text, /gpt-4\.1-/)
  assert.equal((await exchange(`${gateway.url}/v1/models`, 'GET')).status, 401)
})

test('A81: what is taken back is refused on the next request, and running streams end when asked', async (t) => {
  const gateway = await withKeys(t)
  await gateway.admin('POST', 'users', { id: 'ada', kind: 'service', memberships: [{ team: 'ml', role: 'member' }] })
  const key = () => gateway.admin('POST', 'keys', { team: 'ml', user: 'ada' })
  const ways: [string, (id: string) => [string, string, object?]][] = [
    ['blocked', (id) => ['POST', `keys/${id}/block`, { cut: true }]],
    ['removed', (id) => ['DELETE', `keys/${id}?cut=1`]],
    ['with its user', () => ['DELETE', 'users/ada?cut=1']],
    ['with its team', () => ['DELETE', 'teams/ml?cut=1']],
  ]
  for (const [name, way] of ways) {
    const made = name === 'with its team' ? await gateway.admin('POST', 'keys', { team: 'ml' }) : await key()
    const calm = await gateway.admin('POST', 'keys', {})
    const stream = slow(gateway, made.key)
    const other = slow(gateway, calm.key)
    await Promise.all([stream.begun, other.begun])
    const [method, path, body] = way(made.id)
    const done = await gateway.admin(method, path, body)
    assert.equal(done.ended, 1, name)
    assert.match(await stream.text, /"code":"revoked"/, name)
    assert.equal((await ask(gateway, made.key)).status, 401, name)
    assert.equal((await ask(gateway, calm.key)).status, 200, name)
    other.leave()
  }
  await until(() => gateway.served.gateway.snapshot.inside === 0, 'all have left')
})

/** A stream of many slow pieces. */
function slow(gateway: Running, key: string) {
  let begin: () => void = () => {}
  const begun = new Promise<void>((resolve) => {
    begin = resolve
  })
  const body = JSON.stringify({
    model: `openai/${MODEL}+chunks=400+pace=100`,
    stream: true,
    messages: [{ role: 'user', content: 'go on and on' }],
  })
  const request = http.request(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', ...bearer(key) },
  })
  const text = new Promise<string>((resolve) => {
    let all = ''
    request.on('error', () => resolve(all))
    request.on('response', (response) => {
      response.on('data', (part: Buffer) => {
        all += part
        if (all.includes('"content"')) begin()
      })
      response.on('error', () => resolve(all))
      response.on('close', () => resolve(all))
    })
  })
  request.end(body)
  return { begun, text, leave: () => request.destroy() }
}

test('stored objects and a vendor’s own API are for keys that were given them by name', async (t) => {
  const gateway = await withKeys(t)
  const plain = await gateway.admin('POST', 'keys', {})
  const given = await gateway.admin('POST', 'keys', { endpoints: ['objects', 'native'], models: [MODEL] })
  const files = (key: string) => exchange(`${gateway.url}/v1/files`, 'GET', undefined, bearer(key))
  const native = (key: string) => gateway.send('/openai/new-things', { model: MODEL }, bearer(key))
  for (const answer of [await files(plain.key), await native(plain.key)]) {
    assert.equal(answer.status, 403, answer.text)
    assert.match(answer.text, /key_endpoint_not_allowed/)
  }
  const listed = await files(given.key)
  assert.ok(listed.status !== 403, listed.text)
  assert.equal((await native(given.key)).status, 403, 'whatever it asks for, nobody could hold it to its models')
  const free = await gateway.admin('POST', 'keys', { endpoints: ['native'] })
  assert.notEqual((await native(free.key)).status, 403)
})

test('what a client would like tried besides stays within what its key may use', async (t) => {
  const gateway = await withKeys(t)
  const { key } = await gateway.admin('POST', 'keys', { models: ['second/*', 'openai/*'], upstreams: ['second'] })
  const wished = async (models: string[]) => gateway.chat('second/broken+status=503', 'hello', { models }, bearer(key))
  assert.notEqual((await wished([`openai/${MODEL}`])).status, 200, 'an upstream that is not for this key')
  assert.notEqual((await wished([MODEL])).status, 200, 'a model that is not for this key')
  assert.equal(gateway.upstream.ledger.rows.filter(({ model }) => model === MODEL).length, 0)
  assert.equal((await wished([`second/${MODEL}`])).status, 200)
})

test('without the module keys mean nothing; it is switched on and off under traffic in one process', async (t) => {
  const gateway = await runGateway(t, models)
  const made = await gateway.admin('POST', 'keys', { name: 'made while the module is off' })
  let on = true
  const failures: string[] = []
  const worker = async () => {
    for (let n = 0; on; n++) {
      const answer = await ask(gateway, made.key, { stream: n % 2 === 0 })
      if (answer.status !== 200) failures.push(answer.text)
    }
  }
  const working = [worker(), worker()]
  for (let round = 0; round < 3; round++) {
    assert.equal((await ask(gateway, undefined)).status, 200)
    await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
    assert.equal((await ask(gateway, undefined)).status, 401)
    await gateway.admin('PUT', 'modules/keys', { settings: { allowLocal: true } })
    assert.equal((await ask(gateway, undefined)).status, 200)
    assert.equal((await ask(gateway, 'sk-sy-nonsense')).status, 401)
    await gateway.admin('PUT', 'modules/keys', { mode: 'off', settings: {} })
  }
  on = false
  await Promise.all(working)
  assert.deepEqual(failures, [])
})

test('the proxy key goes on working beside keys, and a local caller without one does not', async (t) => {
  const gateway = await withKeys(t)
  const { key } = await gateway.admin('PUT', 'proxy-key', {})
  assert.equal((await ask(gateway, key)).status, 200)
  assert.equal((await ask(gateway, undefined)).status, 401)
  await gateway.admin('DELETE', 'proxy-key')
  assert.equal((await ask(gateway, key)).status, 401)
})

test('T80: what the cache keeps for one tenant is never another’s, and a team may share it', async (t) => {
  const gateway = await withKeys(t)
  await gateway.admin('PUT', 'modules/cache', { mode: 'enforce' })
  await gateway.admin('POST', 'organizations', { id: 'globex' })
  await gateway.admin('POST', 'teams', { id: 'sales', organization: 'globex' })
  const [a, b, c, alone, lonely] = await Promise.all(
    [{ team: 'ml' }, { team: 'ml' }, { team: 'sales' }, {}, {}].map((body) => gateway.admin('POST', 'keys', body)),
  )
  const cached = async (key: string, headers: Record<string, string> = {}) =>
    (await gateway.chat(MODEL, 'the same words', {}, { ...bearer(key), ...headers })).headers['x-stockyard-cache']
  assert.equal(await cached(a.key), 'miss')
  await until(async () => (await cached(a.key)) === 'hit', 'the reply is kept')
  assert.equal(await cached(b.key), 'hit')
  assert.equal(await cached(c.key, { 'idempotency-key': 'x', 'x-session-id': 's' }), 'miss')
  assert.equal(await cached(alone.key), 'miss')
  assert.equal(await cached(lonely.key), 'miss')
})

test('A14, T70: when the database cannot be read, known keys go on and others get 503, never 401', async (t) => {
  const gateway = await withKeys(t)
  const known = await gateway.admin('POST', 'keys', { team: 'ml' })
  const cold = await gateway.admin('POST', 'keys', { team: 'ml' })
  assert.equal((await ask(gateway, known.key)).status, 200)
  const { store } = gateway.served.gateway
  const real = store.directory.get.bind(store.directory)
  const { failure } = await import('../../src/core/errors.ts')
  t.mock.method(store.directory, 'get', ((kind: 'key', id: string) => {
    if (id === cold.id) throw failure('storage_unavailable', { problem: 'the disk reports an error' })
    return real(kind, id)
  }) as never)
  for (const stream of [false, true]) {
    assert.equal((await ask(gateway, known.key, { stream })).status, 200)
    const refused = await ask(gateway, cold.key, { stream })
    assert.equal(refused.status, 503)
    assert.match(refused.text, /storage_unavailable|module_unavailable/)
  }
  t.mock.restoreAll()
  assert.equal((await ask(gateway, cold.key)).status, 200)
})
