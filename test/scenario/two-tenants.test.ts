/**
 * Two tenants of one account, over every path of OpenAI's published description that is about inference: nothing that one
 * makes can be read, listed, changed, used or deleted by the other. Paths about the account reach nobody.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { STATELESS } from '../../src/dialects/openai-objects/table.ts'
import { ENDPOINTS } from '../../src/http/endpoints.ts'
import { exchange, type Running, runGateway } from '../running/index.ts'

const fixtures = process.env.STOCKYARD_FIXTURES ?? '../shared'
const file = join(fixtures, 'specs/openai-openapi.yaml')
const skip = existsSync(file) ? false : `no ${file} (set STOCKYARD_FIXTURES)`

const METHODS = ['get', 'post', 'put', 'patch', 'delete']
const ACCOUNT = /^\/(?:organization|projects|realtime|chatkit)(?:\/|$)|^\/fine_tuning\/checkpoints\//
/** What no id stands in, and nothing is kept by. */
const WORK = /^\/(?:images|moderations|audio\/(?:speech|transcriptions|translations)|models$|models\/\{)/

interface Operation {
  readonly method: string
  readonly path: string
}

function operations(): Operation[] {
  const { paths } = parse(readFileSync(file, 'utf8'), { maxAliasCount: -1 }) as { paths: Record<string, object> }
  return Object.entries(paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => ({
      method: method.toUpperCase(),
      path: path.split('?', 1)[0] as string,
    })),
  )
}

const OTHER = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }

async function tenants(t: Parameters<typeof runGateway>[0]): Promise<Running> {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'proxy-key', { key: OTHER.authorization.slice('Bearer '.length) })
  return gateway
}

/** One object of the first tenant behind each root that ids stand after. */
async function makeAll(gateway: Running, headers = {}): Promise<Map<string, string>> {
  const made = new Map<string, string>()
  const post = async (root: string, body: object) => {
    const answer = await gateway.send(`/v1${root}`, body, headers)
    assert.equal(answer.status, 200, `${root}: ${answer.text}`)
    made.set(root, answer.json.id)
  }
  for (const root of ROOTS) if (root !== '/batches') await post(root, { name: 'x', model: 'gpt-4o-mini' })
  await post('/batches', { input_file_id: made.get('/files'), endpoint: '/v1/responses', completion_window: '24h' })
  return made
}
const ROOTS = [
  '/files',
  '/uploads',
  '/batches',
  '/fine_tuning/jobs',
  '/vector_stores',
  '/conversations',
  '/containers',
  '/evals',
  '/assistants',
  '/threads',
  '/videos/characters',
  '/videos',
  '/skills',
  '/audio/voice_consents',
]

const filled = (path: string, id: string): string => {
  let isFirst = true
  return path.replace(/\{[^}]+\}/g, () => {
    const value = isFirst ? id : 'sub_1'
    isFirst = false
    return value
  })
}

test('two tenants: foreign and unknown ids are 404 on every path, and nothing reaches the upstream', {
  skip,
}, async (t) => {
  const gateway = await tenants(t)
  const made = await makeAll(gateway)
  gateway.upstream.ledger.reset()
  let tried = 0
  for (const { method, path } of operations()) {
    if (!path.includes('{') || ACCOUNT.test(path) || (WORK.test(path) && method === 'GET')) continue
    const root = path.slice(0, path.indexOf('/{'))
    const ids = ['unknown_id_1', ...(made.has(root) ? [made.get(root) as string] : [])]
    for (const id of ids) {
      for (const prefix of ['/v1', '/openai/v1']) {
        const body = method === 'GET' || method === 'DELETE' ? undefined : {}
        const answer = await exchange(gateway.url + prefix + filled(path, id), method, body, OTHER)
        assert.equal(answer.status, 404, `${method} ${prefix}${filled(path, id)}: ${answer.text}`)
        tried++
      }
    }
  }
  assert.ok(tried > 150, `${tried} calls`)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('two tenants: the maker reaches what it made on each of these paths', { skip }, async (t) => {
  const gateway = await tenants(t)
  const made = await makeAll(gateway)
  let reached = 0
  for (const { method, path } of operations()) {
    if (!path.includes('{') || ACCOUNT.test(path) || method === 'DELETE') continue
    const id = made.get(path.slice(0, path.indexOf('/{')))
    if (id === undefined) continue
    const answer = await exchange(`${gateway.url}/v1${filled(path, id)}`, method, method === 'GET' ? undefined : {})
    reached++
    // What it says there is the upstream's affair.
    const came = gateway.upstream.ledger.rows.some(
      (row) => row.path === `/v1${filled(path, id)}` && row.method === method,
    )
    assert.ok(came, `${method} ${filled(path, id)}: ${answer.text}`)
    assert.notEqual(answer.json?.error?.code, 'not_found')
  }
  assert.ok(reached > 60, `${reached} paths`)
})

test('two tenants: each list shows one’s own, and none is missing', { skip }, async (t) => {
  const gateway = await tenants(t)
  await makeAll(gateway)
  const theirs = await makeAll(gateway, OTHER)
  const lists = operations().filter(({ method, path }) => method === 'GET' && theirs.has(path))
  assert.ok(lists.length >= 10, `${lists.length} lists`)
  for (const { path } of lists) {
    const answer = await exchange(`${gateway.url}/v1${path}`, 'GET', undefined, OTHER)
    const ids = answer.json.data.map((item: { id: string }) => item.id)
    assert.deepEqual(ids, [theirs.get(path)], path)
  }
})

test('two tenants: what belongs to one cannot be named in the other’s requests', { skip }, async (t) => {
  const gateway = await tenants(t)
  const made = await makeAll(gateway)
  gateway.upstream.ledger.reset()
  const id = (root: string) => made.get(root)
  const model = 'gpt-4o-mini'
  const file = { type: 'file', file: { file_id: id('/files') } }
  const requests: [string, object][] = [
    ['/v1/batches', { input_file_id: id('/files'), endpoint: '/v1/responses', completion_window: '24h' }],
    ['/v1/fine_tuning/jobs', { training_file: id('/files'), model }],
    ['/v1/fine_tuning/jobs', { training_file: 'file-unknown', model }],
    ['/v1/vector_stores', { file_ids: [id('/files')] }],
    ['/v1/chat/completions', { model, messages: [{ role: 'user', content: [file] }] }],
    ['/v1/threads', { tool_resources: { file_search: { vector_store_ids: [id('/vector_stores')] } } }],
    ['/v1/threads/runs', { assistant_id: id('/assistants') }],
    ['/openai/v1/chat/completions', { model, messages: [{ role: 'user', content: [file] }] }],
  ]
  for (const [path, body] of requests) {
    const answer = await gateway.send(path, body, OTHER)
    assert.equal(answer.status, 404, `${path} ${JSON.stringify(body)}: ${answer.text}`)
  }
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('paths about the account reach nobody, by either address', { skip }, async (t) => {
  const gateway = await tenants(t)
  let tried = 0
  for (const { method, path } of operations().filter((each) => ACCOUNT.test(each.path))) {
    const body = method === 'GET' || method === 'DELETE' ? undefined : {}
    for (const prefix of ['/v1', '/openai/v1', '/openai']) {
      const answer = await exchange(gateway.url + prefix + filled(path, 'x'), method, body)
      assert.ok([403, 404].includes(answer.status), `${method} ${prefix}${path}: ${answer.status}`)
      tried++
    }
  }
  assert.ok(tried > 300, `${tried} calls`)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('every other path of the description is served', { skip }, async (t) => {
  const gateway = await tenants(t)
  const own = ENDPOINTS.map(({ path }) => path.slice('/v1'.length))
  const strange = []
  for (const { method, path } of operations()) {
    if (path.includes('{') || ACCOUNT.test(path) || own.includes(path) || STATELESS.includes(path)) continue
    const answer = await exchange(
      `${gateway.url}/v1${path}`,
      method,
      method === 'GET' ? undefined : { model: 'gpt-4o-mini' },
    )
    if (answer.status === 405 || answer.json?.error?.message?.startsWith('There is no path'))
      strange.push(`${method} ${path}`)
  }
  assert.deepEqual(strange, [])
})
