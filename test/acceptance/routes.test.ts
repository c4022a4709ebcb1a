/**
 * A30: every route of the running server, as it stands in the server's own table: a stranger is told so, a limit that is used
 * up stops it, and whatever reaches an upstream is in the books. A route that is added is in this test the same day.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addBudget, addLimit } from '../running/identity.ts'
import { exchange, type Running, runGateway, until } from '../running/index.ts'

const STRANGER = { 'x-forwarded-for': '203.0.113.9' }
/** Who watches the process, and whoever signs in, is not known yet. */
const OPEN = /^\/(?:health\/(?:live|ready)|api\/sign-in.*|api\/session.*|api\/auth.*|console.*)?$/
/** What asks the gateway itself. */
const OWN = /^\w+ \/(?:(?:api|health|metrics|console)(?:\/|$)|v1\/key$)|^GET \/v1(?:alpha|beta)?\/models(?:\/|$)/
/** Tokens are counted by whoever counts for nothing, and are in no books. */
const COUNTS = /count_tokens|input_tokens|:countTokens/

/** What stands for the rest of a path; any other root stands before an id. */
const RESTS: Readonly<Record<string, readonly string[]>> = {
  '/v1beta/*': ['models/openai/gpt-4o-mini:generateContent', 'models/openai/gpt-4o-mini:embedContent'],
  '/v1alpha/*': ['models/openai/gpt-4o-mini:generateContent'],
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

const send = (
  gateway: Running,
  { method, path }: Call,
  headers: Record<string, string> = {},
  more: Record<string, unknown> = {},
) =>
  exchange(
    gateway.url + path,
    method,
    method === 'GET' || method === 'DELETE' ? undefined : { ...BODY, ...more },
    headers,
  )

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

test('A2: an answer that is an error costs nothing on any route, streamed or not, and its words are no tokens', async (t) => {
  const gateway = await runGateway(t)
  const ids = await made(gateway)
  for (const id of ['breakers', 'failover']) await gateway.admin('PUT', `modules/${id}`, { mode: 'off' })
  const all = calls(gateway, ids).filter(({ method, path }) => method === 'POST' && !OWN.test(`${method} ${path}`))
  const used = async () => {
    const rows = (await gateway.usage('upstream')) as unknown as { costUsd: string; tokens: Record<string, number> }[]
    return JSON.stringify(rows.map(({ costUsd, tokens }) => [costUsd, tokens]))
  }
  const behaviour = 'status=500, error-message=so many words of which not one is an answer'
  gateway.upstream.script({ match: () => true, behaviour, times: 1e6 })
  // So that there is a row, and more cannot be less.
  await gateway.chat('openai/gpt-4o-mini', 'x')
  const before = await used()
  gateway.upstream.ledger.reset()
  for (let i = 0; i < all.length; i += AT_ONCE) {
    const few = all.slice(i, i + AT_ONCE)
    const which = few.map(({ path }) => path).join(', ')
    const answers = await Promise.all([
      ...few.map((call) => send(gateway, call)),
      ...few.map((call) => send(gateway, streamed(call), {}, { stream: true })),
    ])
    // What only counts tokens is counted here if nobody else does.
    const wrong = answers.filter(({ status }) => status < 400).length
    assert.ok(wrong <= 2 * few.filter(({ path }) => COUNTS.test(path)).length, which)
    assert.equal(await used(), before, which)
  }
  const { length } = gateway.upstream.ledger.rows
  assert.ok(length > 40, `${length} reached an upstream`)
})

/** The same, asked so that the answer comes as a stream. */
const streamed = ({ method, path }: Call): Call => ({
  method,
  path: path.replace(/:generateContent$/, ':streamGenerateContent?alt=sse'),
})

/**
 * How calls come to be refused after somebody has taken something for them: all of them, or those that cost or say
 * something. It returns its own end. */
const REFUSALS: Readonly<
  Record<string, { all: boolean; says: RegExp; set(gateway: Running): Promise<() => Promise<unknown>> }>
> = {
  'a limit that is used up, behind others with room': {
    all: true,
    says: /rate limit/i,
    async set(gateway) {
      const { id } = addLimit(gateway, { scope: { model: '*' }, counts: 'requests', per: 'day', amount: 1 })
      addLimit(gateway, { scope: { endUser: '*' }, counts: 'requests', per: 'day', amount: 1_000_000 })
      const whole = addLimit(gateway, { scope: {}, counts: 'requests', per: 'day', amount: 1 })
      await gateway.chat('openai/gpt-4o-mini', 'the only one')
      return async () => {
        for (const one of [id, whole.id]) await gateway.admin('DELETE', `limits/${one}`)
      }
    },
  },
  'a limit of the upstream, found when the call is made': {
    all: true,
    says: /rate limit/i,
    async set(gateway) {
      const { id } = addLimit(gateway, { scope: { upstream: 'openai' }, counts: 'requests', per: 'day', amount: 1 })
      await gateway.chat('openai/gpt-4o-mini', 'the only one')
      return () => gateway.admin('DELETE', `limits/${id}`)
    },
  },
  'a budget that is spent': {
    all: false,
    says: /budget/i,
    async set(gateway) {
      const window = { kind: 'lifetime' } as const
      const { id } = addBudget(gateway, { scope: {}, amountUsd: '0.000000001', window })
      return () => gateway.admin('DELETE', `budgets/${id}`)
    },
  },
  'a guardrail that forbids the text': {
    all: false,
    says: /no-greetings/,
    async set(gateway) {
      const rules = [{ id: 'no-greetings', type: 'words', words: ['hello'], action: 'block' }]
      await gateway.admin('PUT', 'modules/guardrails', { mode: 'enforce', settings: { rules } })
      return () => gateway.admin('PUT', 'modules/guardrails', { mode: 'off' })
    },
  },
}

test('A40: on every route, streamed and not, a refused call leaves every counter as it was and reaches nobody', async (t) => {
  // A batch that is over would be booked as calls that nobody made here.
  const gateway = await runGateway(t, { batchesMs: 3_600_000 })
  const ids = await made(gateway)
  const all = calls(gateway, ids).filter(({ method, path }) => !OWN.test(`${method} ${path}`) && !COUNTS.test(path))
  for (const id of ['rate-limits', 'budgets']) await gateway.admin('PUT', `modules/${id}`, { mode: 'enforce' })
  for (const counts of ['requests', 'tokens', 'input_tokens', 'output_tokens'] as const)
    addLimit(gateway, { scope: {}, counts, per: 'day', amount: 1_000_000 })
  addLimit(gateway, { scope: {}, counts: 'parallel', amount: 1_000 })
  addBudget(gateway, { scope: {}, amountUsd: '1000', window: { kind: 'lifetime' } })
  const counters = async () => {
    const { limits, budgets } = (await exchange(`${gateway.url}/v1/key`, 'GET')).json.data
    const { heldUsd } = await gateway.admin('GET', 'budget-accounts')
    return JSON.stringify({ limits, budgets, heldUsd })
  }
  for (const [why, { all: isForAll, says, set }] of Object.entries(REFUSALS)) {
    const undo = await set(gateway)
    gateway.upstream.ledger.reset()
    let before = await counters()
    let refused = 0
    const some = isForAll ? all : all.filter(({ method }) => method === 'POST')
    const atOnce = isForAll ? AT_ONCE : 1
    for (let i = 0; i < some.length; i += atOnce) {
      const few = some.slice(i, i + atOnce)
      const answers = await Promise.all([
        ...few.map((call) => send(gateway, call)),
        ...few.filter(({ method }) => method === 'POST').map((c) => send(gateway, streamed(c), {}, { stream: true })),
      ])
      const which = `${why}: ${few.map(({ method, path }) => `${method} ${path}`).join(', ')}`
      const { length } = gateway.upstream.ledger.rows
      if (isForAll) assert.equal(length, 0, which)
      if (length === 0) assert.equal(await counters(), before, which)
      else {
        // What costs nothing, or says nothing, goes on.
        gateway.upstream.ledger.reset()
        before = await counters()
      }
      refused += answers.filter(({ status, text }) => status >= 400 && says.test(text)).length
    }
    assert.ok(refused >= 20, `${why}: ${refused} refused`)
    await undo()
  }
  // A call that was stopped on its way to an upstream is none in the metrics, as it is none in the books.
  const sumOf = (numbers: readonly number[]) => numbers.reduce((sum, n) => sum + n, 0)
  const booked = (await gateway.usage('upstream')).map(({ attempts }) => Number(attempts))
  await until(async () => {
    const { text } = await gateway.metrics()
    return (
      sumOf([...text.matchAll(/^stockyard_attempts_total\{.*\} (\d+)$/gm)].map(([, n]) => Number(n))) === sumOf(booked)
    )
  }, 'metrics say what the ledger says')
})

test('A7: on every route, streamed and not, a key that may all does what each level above it and itself may, and no more', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  const all = calls(gateway, new Map()).filter(({ method, path }) => !OWN.test(`${method} ${path}`))
  const { directory } = gateway.served.gateway.store
  /** A key below an organization, a team and a user, of which one lets nothing through by one of its lists. */
  const keyUnder = (id: string, narrow: string, list: string) => {
    const listOf = (level: string) => ({ [list]: [level === narrow ? 'nothing-there' : '*'] })
    directory.change({ actor: 'test', action: 'test' }, (edit) => {
      edit.insert('organization', { id, ...listOf('organization') })
      edit.insert('team', { id, organization: id, ...listOf('team') })
      const memberships = [{ organization: id, role: 'member' }] as const
      edit.insert('user', { id, kind: 'service', memberships, ...listOf('user') })
    })
    return gateway.key({ organization: id, team: id, user: id, ...listOf('key') }).headers
  }
  const passed = async (headers: Record<string, string>): Promise<string[]> => {
    const through: string[] = []
    for (let i = 0; i < all.length; i += AT_ONCE) {
      const few = all
        .slice(i, i + AT_ONCE)
        .flatMap((call) => [
          { call, stream: false },
          ...(call.method === 'POST' ? [{ call: streamed(call), stream: true }] : []),
        ])
      const answers = await Promise.all(few.map(({ call, stream }) => send(gateway, call, headers, { stream })))
      for (const [n, { status }] of answers.entries()) {
        const call = few[n]?.call as Call
        if (status < 400) through.push(`${call.method} ${call.path}: ${status}`)
      }
    }
    return through
  }
  for (const list of ['models', 'upstreams', 'endpoints']) {
    for (const level of ['organization', 'team', 'user', 'key']) {
      assert.deepEqual(await passed(keyUnder(`${list}-${level}`, level, list)), [], `${list} of the ${level}`)
      assert.equal(gateway.upstream.ledger.rows.length, 0, `${list} of the ${level}`)
    }
  }
  const { length } = await passed(keyUnder('free', 'nobody', 'endpoints'))
  assert.ok(length > 30, `${length} pass where nothing is forbidden`)
})
