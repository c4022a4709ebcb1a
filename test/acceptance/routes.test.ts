/**
 * A30: every route of the running server, as it stands in the server's own table: a stranger is told so, a limit that is used
 * up stops it, and whatever reaches an upstream is in the books. A route that is added is in this test the same day.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addLimit } from '../running/identity.ts'
import { exchange, type Running, runGateway } from '../running/index.ts'

const STRANGER = { 'x-forwarded-for': '203.0.113.9' }
/** Who watches the process, and whoever signs in, is not known yet. */
const OPEN = /^\/(?:health\/(?:live|ready)|api\/sign-in.*|api\/session.*|api\/auth.*|console.*)?$/
/** What asks the gateway itself. */
const OWN = /^\w+ \/(?:(?:api|health|metrics|console)(?:\/|$)|v1\/key$)|^GET \/v1(?:beta)?\/models(?:\/|$)/
/** Tokens are counted by whoever counts for nothing, and are in no books. */
const COUNTS = /count_tokens|input_tokens|:countTokens/

/** What stands for the rest of a path; any other root stands before an id. */
const RESTS: Readonly<Record<string, readonly string[]>> = {
  '/v1beta/*': ['models/openai/gpt-4o-mini:generateContent', 'models/openai/gpt-4o-mini:embedContent'],
  '/v1/models/*': ['openai/gpt-4o-mini:generateContent', 'openai/gpt-4o-mini:countTokens'],
  '/v1/tunedModels/*': ['mine:generateContent'],
  '/:upstream/*': ['openai/v1/chat/completions', 'openai/v1/files', 'openai/v1/whatever/comes'],
}

/** One body that every endpoint finds something in. */
const BODY = {
  model: 'openai/gpt-4o-mini',
  max_tokens: 50,
  messages: [{ role: 'user', content: 'hello' }],
  input: 'hello',
  prompt: 'hello',
  voice: 'alloy',
  query: 'hello',
  documents: ['hello'],
  contents: [{ role: 'user', parts: [{ text: 'hello' }] }],
  content: { parts: [{ text: 'hello' }] },
}

/** The books are looked at after so many calls. */
const AT_ONCE = 20

interface Call {
  readonly method: string
  readonly path: string
}

/** The table as requests: each route, with an object of the caller's where one is named. */
function calls(gateway: Running, ids: ReadonlyMap<string, string>): Call[] {
  const all: Call[] = []
  for (const { method, url } of gateway.served.routes) {
    const rests = RESTS[url] ?? [ids.get(url.replace(/\/\*$/, '')) ?? 'unknown_1']
    const paths = url.includes('*') ? rests.map((rest) => url.replace(/(?::upstream\/)?\*/, rest)) : [url]
    for (const path of paths) all.push({ method, path: path.replace(/\/:\w+/g, '/unknown_1') })
  }
  return all
}

const send = (gateway: Running, { method, path }: Call, headers: Record<string, string> = {}) =>
  exchange(gateway.url + path, method, method === 'GET' || method === 'DELETE' ? undefined : BODY, headers)

test('A30: no route answers a stranger, and none reaches an upstream for one', async (t) => {
  const gateway = await runGateway(t)
  const all = calls(gateway, new Map())
  assert.ok(all.length > 150, `${all.length} routes`)
  const open: string[] = []
  let stopped = 0
  for (const call of all) {
    const { status } = await send(gateway, call, STRANGER)
    if (status === 401 || status === 403) stopped++
    // What is not there is not there for anybody.
    else if (!OPEN.test(call.path) && (status < 400 || (await send(gateway, call)).status !== status)) {
      open.push(`${call.method} ${call.path}: ${status}`)
    }
  }
  assert.deepEqual(open, [])
  assert.ok(stopped > 150, `${stopped} of ${all.length} were stopped`)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

/** One object behind each root that makes one. */
async function made(gateway: Running): Promise<Map<string, string>> {
  const ids = new Map<string, string>()
  for (const { method, url } of gateway.served.routes) {
    if (method !== 'POST' || url.includes('*') || OWN.test(`POST ${url}`)) continue
    const { id } = (await exchange(gateway.url + url, 'POST', { ...BODY, store: true })).json ?? {}
    if (typeof id === 'string') ids.set(url, id)
  }
  return ids
}

test('A30: a limit that is used up stops every route of the data plane before an upstream is asked', async (t) => {
  const gateway = await runGateway(t)
  const ids = await made(gateway)
  const all = calls(gateway, ids).filter(({ method, path }) => !OWN.test(`${method} ${path}`))
  await gateway.admin('PUT', 'modules/rate-limits', { mode: 'enforce' })
  addLimit(gateway, { scope: {}, counts: 'requests', per: 'day', amount: 1 })
  await gateway.chat('openai/gpt-4o-mini', 'the only one')
  gateway.upstream.ledger.reset()
  let stopped = 0
  for (const call of all) {
    if (COUNTS.test(call.path)) continue
    const { status, text } = await send(gateway, call)
    if (status === 429) stopped++
    else assert.ok(status >= 400, `${call.method} ${call.path}: ${status} ${text.slice(0, 300)}`)
  }
  assert.equal(gateway.upstream.ledger.rows.length, 0)
  assert.ok(stopped > 60, `${stopped} of ${all.length} were stopped by the limit`)
})

test('A30: what a route of the data plane asks an upstream is in the books, call by call', async (t) => {
  const gateway = await runGateway(t)
  const ids = await made(gateway)
  const all = calls(gateway, ids).filter(({ method, path }) => !OWN.test(`${method} ${path}`))
  const booked = async () =>
    ((await gateway.usage('upstream')) as unknown as { attempts: number }[]).reduce(
      (sum, row) => sum + Number(row.attempts),
      0,
    )
  let before = await booked()
  let reached = 0
  const wanted = all.filter(({ path }) => !COUNTS.test(path))
  for (let i = 0; i < wanted.length; i += AT_ONCE) {
    const some = wanted.slice(i, i + AT_ONCE)
    let asked = 0
    for (const call of some) {
      gateway.upstream.ledger.reset()
      await send(gateway, call)
      const { length } = gateway.upstream.ledger.rows
      // A list may take several pages of the upstream's.
      asked += call.method === 'GET' ? Math.min(1, length) : length
      reached += length > 0 ? 1 : 0
    }
    const now = await booked()
    assert.equal(now - before, asked, some.map(({ method, path }) => `${method} ${path}`).join(', '))
    before = now
  }
  assert.ok(reached > 60, `${reached} of ${all.length} reached an upstream`)
})
