/** What users of rate limits suffered elsewhere, and what they may expect here. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { addLimit, as, whoever } from '../running/identity.ts'
import { type Answer, type Running, type RunningOptions, runGateway, until } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'
type Test = Parameters<typeof runGateway>[0]

async function limited(t: Test, options: RunningOptions = {}, mode = 'enforce'): Promise<Running> {
  const gateway = await runGateway(t, { extraModules: [whoever as never], ...options })
  // A failing upstream is to be called again and again.
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  await gateway.admin('PUT', 'modules/rate-limits', { mode })
  return gateway
}
const left = (answer: Answer, what: 'requests' | 'tokens' | 'input-tokens' | 'output-tokens'): number =>
  Number(answer.headers[`x-ratelimit-remaining-${what}`])
const statuses = (answers: readonly Answer[]): Record<number, number> => {
  const counts: Record<number, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

test('A42: a refused call is a 429 that names the limit, with Retry-After and the headers clients read; others pass', async (t) => {
  const gateway = await limited(t)
  const limit = addLimit(gateway, { scope: { team: 'search' }, counts: 'requests', per: 'minute', amount: 2 })
  const who = as('k1', { team: 'search' })
  const first = await gateway.chat(MODEL, 'one', {}, who)
  assert.equal(first.status, 200)
  assert.equal(first.headers['x-ratelimit-limit-requests'], '2')
  assert.equal(left(first, 'requests'), 1)
  assert.match(String(first.headers['x-ratelimit-reset-requests']), /^(\d+m)?[\d.]+s$/)
  assert.equal((await gateway.chat(MODEL, 'two', { stream: true }, as('k2', { team: 'search' }))).status, 200)
  const refused = await gateway.chat(MODEL, 'three', { stream: true }, who)
  assert.equal(refused.status, 429)
  assert.equal(refused.json.error.code, 'rate_limit_exceeded')
  assert.equal(refused.json.error.type, 'rate_limit_error')
  assert.match(refused.json.error.message, /2 requests per minute for team=search/)
  assert.equal(refused.json.error.limit, limit.id)
  assert.deepEqual(refused.json.error.scope, { team: 'search' })
  const wait = Number(refused.headers['retry-after'])
  assert.ok(wait >= 1 && wait <= 60, `waits ${wait} s`)
  assert.ok(Math.abs(Date.parse(refused.json.error.reset_at) - Date.now() - wait * 1_000) < 3_000)
  assert.equal(gateway.upstream.ledger.rows.length, 2, 'nothing went upstream for it')
  assert.equal((await gateway.chat(MODEL, 'other team', {}, as('k3', { team: 'ads' }))).status, 200)
  assert.equal((await gateway.chat(MODEL, 'local caller')).status, 200)
})

test('A42: an upstream’s own limit headers reach the client; where ours are told, they are renamed', async (t) => {
  const gateway = await limited(t)
  const upstream = http.createServer((_, response) => {
    response.writeHead(429, {
      'x-ratelimit-remaining-requests': '77',
      'retry-after': '7',
      'content-type': 'application/json',
    })
    response.end('{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}')
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  t.after(() => upstream.close())
  const { port } = upstream.address() as { port: number }
  await gateway.admin('PUT', 'upstreams/busy', {
    provider: 'openai',
    baseUrl: `http://127.0.0.1:${port}/v1`,
    credentials: [{ id: 'main', secret: 'sk-test' }],
  })
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  const plain = await gateway.chat('busy/gpt-4o-mini', 'x')
  assert.equal(plain.status, 429)
  assert.equal(plain.headers['retry-after'], '7')
  assert.equal(left(plain, 'requests'), 77)
  addLimit(gateway, { scope: { key: 'k1' }, counts: 'requests', per: 'hour', amount: 9 })
  const ours = await gateway.chat('busy/gpt-4o-mini', 'x', {}, as('k1'))
  assert.equal(left(ours, 'requests'), 8)
  assert.equal(ours.headers['x-upstream-ratelimit-remaining-requests'], '77')
  assert.equal(ours.headers['retry-after'], '7')
})

test('A42: on /v1/messages the headers and the error are that API’s own', async (t) => {
  const gateway = await limited(t, { upstreams: { anthropic: 'anthropic' } })
  addLimit(gateway, { scope: {}, counts: 'requests', per: 'minute', amount: 1 })
  addLimit(gateway, { scope: {}, counts: 'output_tokens', per: 'day', amount: 1_000 })
  const ask = () =>
    gateway.send('/v1/messages', {
      model: 'anthropic/claude-sonnet-4-5',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'hello' }],
    })
  const answer = await ask()
  assert.equal(answer.status, 200, answer.text)
  assert.equal(answer.headers['anthropic-ratelimit-requests-limit'], '1')
  assert.equal(answer.headers['anthropic-ratelimit-requests-remaining'], '0')
  assert.equal(answer.headers['anthropic-ratelimit-output-tokens-remaining'], '900')
  assert.ok(Date.parse(String(answer.headers['anthropic-ratelimit-requests-reset'])) > Date.now())
  const refused = await ask()
  assert.equal(refused.status, 429)
  assert.equal(refused.json.type, 'error')
  assert.equal(refused.json.error.type, 'rate_limit_error')
  assert.ok(Number(refused.headers['retry-after']) >= 1)
})

test('a wait of more than a minute is told in the body and not as Retry-After, and SDKs are told not to try again', async (t) => {
  const gateway = await limited(t)
  addLimit(gateway, { scope: {}, counts: 'requests', per: 'day', amount: 1 })
  await gateway.chat(MODEL, 'one')
  const refused = await gateway.chat(MODEL, 'two')
  assert.equal(refused.status, 429)
  assert.equal(refused.headers['retry-after'], undefined)
  assert.equal(refused.headers['x-should-retry'], 'false')
  assert.ok(Date.parse(refused.json.error.reset_at) - Date.now() > 20 * 3_600_000)
})

test('A40: of several limits one refuses: every counter stays as it was', async (t) => {
  const gateway = await limited(t)
  const who = as('k1', { team: 't', organization: 'o', tags: ['batch'] })
  addLimit(gateway, { scope: { organization: 'o' }, counts: 'requests', per: 'hour', amount: 10 })
  addLimit(gateway, { scope: { team: 't' }, counts: 'tokens', per: 'hour', amount: 10_000 })
  addLimit(gateway, { scope: { tag: '*' }, counts: 'requests', per: 'day', amount: 10 })
  addLimit(gateway, { scope: { key: 'k1', model: '*' }, counts: 'requests', per: 'minute', amount: 1 })
  const first = await gateway.chat(MODEL, 'x', { max_tokens: 10 }, who)
  assert.equal(first.status, 200)
  for (let i = 0; i < 20; i++) assert.equal((await gateway.chat(MODEL, 'x', { max_tokens: 10 }, who)).status, 429)
  const other = await gateway.chat('openai/gpt-4o', 'x', { max_tokens: 10 }, as('k1', { team: 't', organization: 'o' }))
  assert.equal(other.status, 200, 'another model has a counter of its own')
  // Reserved: the other model's own input and output. Before it: what the first request used.
  const used = first.json.usage.total_tokens
  const body = JSON.stringify({ model: 'openai/gpt-4o', messages: [{ role: 'user', content: 'x' }], max_tokens: 10 })
  assert.equal(left(other, 'tokens'), 10_000 - used - Math.ceil(body.length / 4) - 10)
  addLimit(gateway, { scope: { organization: 'o' }, counts: 'parallel', amount: 1 })
  const last = await gateway.chat('openai/gpt-4o-2', 'x', {}, as('k2', { organization: 'o' }))
  assert.equal(left(last, 'requests'), 7)
})

test('A38: fifty at once: what is admitted never exceeds the limit, and what they did not use comes back', async (t) => {
  const gateway = await limited(t)
  addLimit(gateway, { scope: { key: 'k1' }, counts: 'output_tokens', per: 'minute', amount: 1_000 })
  const ask = (n: number) => gateway.chat(`${MODEL}+delay=300`, 'x', { max_tokens: 100, stream: n % 2 === 0 }, as('k1'))
  const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => ask(n)))
  assert.deepEqual(statuses(answers), { 200: 10, 429: 40 })
  const next = await ask(0)
  assert.equal(next.status, 200)
  const served = gateway.upstream.ledger.rows.slice(0, 10).reduce((sum, row) => sum + row.outputTokens, 0)
  assert.equal(left(next, 'output-tokens'), 1_000 - served - 100)
})

const KINDS = [
  [
    'openai chat',
    '/v1/chat/completions',
    'openai/gpt-4o-mini',
    { messages: [{ role: 'user', content: 'count me' }], max_tokens: 50 },
  ],
  [
    'chat to anthropic',
    '/v1/chat/completions',
    'anthropic/claude-sonnet-4-5',
    { messages: [{ role: 'user', content: 'count me' }], max_tokens: 50 },
  ],
  [
    'chat to gemini',
    '/v1/chat/completions',
    'gemini/gemini-2.5-flash',
    { messages: [{ role: 'user', content: 'count me' }], max_tokens: 50 },
  ],
  [
    'messages',
    '/v1/messages',
    'anthropic/claude-sonnet-4-5',
    { messages: [{ role: 'user', content: 'count me' }], max_tokens: 50 },
  ],
  [
    'messages to openai',
    '/v1/messages',
    'openai/gpt-4o-mini',
    { messages: [{ role: 'user', content: 'count me' }], max_tokens: 50 },
  ],
] as const

test('A36: what is charged is what the ledger says, in every dialect, streamed and not', async (t) => {
  const gateway = await limited(t, { upstreams: { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' } })
  for (const [name, path, model, body] of KINDS) {
    for (const stream of [false, true]) {
      const who = `k-${name.replaceAll(' ', '-')}-${stream}`
      addLimit(gateway, { scope: { key: who }, counts: 'tokens', per: 'hour', amount: 100_000 })
      const answer = await gateway.send(path, { model, ...body, stream }, as(who))
      assert.equal(answer.status, 200, `${name}: ${answer.text}`)
      const rows = await gateway.usage('principal')
      const row = rows.find((r) => (r.group as { principal: string }).principal === who) as
        | { tokens: Record<string, number> }
        | undefined
      assert.ok(row, `${name} is booked`)
      const booked = Object.entries(row.tokens).reduce(
        (sum, [bucket, n]) => (bucket === 'cacheRead' ? sum : sum + n),
        0,
      )
      assert.ok(booked > 0)
      const probe = { model: 'openai/gpt-4o', messages: [{ role: 'user', content: 'x' }], max_tokens: 1 }
      const after = await gateway.send('/v1/chat/completions', probe, as(who))
      assert.equal(left(after, 'tokens'), 100_000 - booked - Math.ceil(JSON.stringify(probe).length / 4) - 1, name)
    }
  }
})

test('A37: tokens read from a provider’s cache do not count, unless they are named', async (t) => {
  const gateway = await limited(t)
  addLimit(gateway, { scope: {}, counts: 'input_tokens', per: 'hour', amount: 100_000 })
  const ask = async (): Promise<number> => {
    const answer = await gateway.chat(`${MODEL}+usage-input=900+cached=800`, 'x', { max_tokens: 1 })
    return left(answer, 'input-tokens')
  }
  const first = await ask()
  assert.equal((await ask()) - first, -100)
  const all = ['input', 'cacheRead', 'output']
  await gateway.admin('PUT', 'modules/rate-limits', { mode: 'enforce', settings: { count: all } })
  const second = await ask()
  assert.equal((await ask()) - second, -900)
})

test('A37: a limit of its own may count them, beside others that do not', async (t) => {
  const gateway = await limited(t)
  addLimit(gateway, {
    scope: { key: 'all' },
    counts: 'input_tokens',
    per: 'hour',
    amount: 100_000,
    count: ['input', 'cacheRead'],
  })
  addLimit(gateway, { scope: { key: 'cached' }, counts: 'tokens', per: 'hour', amount: 100_000, count: ['cacheRead'] })
  addLimit(gateway, { scope: { key: 'usual' }, counts: 'input_tokens', per: 'hour', amount: 100_000 })
  const ask = async (who: string, kind: 'input-tokens' | 'tokens'): Promise<number> =>
    left(await gateway.chat(`${MODEL}+usage-input=900+cached=800`, 'x', { max_tokens: 1 }, as(who)), kind)
  for (const [who, kind, used] of [
    ['all', 'input-tokens', 900],
    ['cached', 'tokens', 800],
    ['usual', 'input-tokens', 100],
  ] as const) {
    const first = await ask(who, kind)
    assert.equal((await ask(who, kind)) - first, -used, who)
  }
  const wrong = { scope: {}, counts: 'requests', per: 'hour', amount: 1, count: ['input'] }
  await assert.rejects(gateway.admin('POST', 'limits', wrong), /counts none/)
})

test('A41: with a limit of ten parallel calls the upstream never sees an eleventh', async (t) => {
  const gateway = await limited(t)
  addLimit(gateway, { scope: { key: 'k1' }, counts: 'parallel', amount: 10 })
  let most = 0
  let running = 0
  const watching = setInterval(() => {
    running = gateway.upstream.ledger.rows.filter((row) => !row.finished && !row.clientHungUpAt).length
    most = Math.max(most, running)
  }, 2)
  const worker = async (n: number): Promise<Answer[]> => {
    const answers: Answer[] = []
    for (let i = 0; i < 5; i++)
      answers.push(await gateway.chat(`${MODEL}+delay=20`, `${n}`, { stream: i % 2 === 0 }, as('k1')))
    return answers
  }
  const answers = (await Promise.all(Array.from({ length: 40 }, (_, n) => worker(n)))).flat()
  clearInterval(watching)
  const { 200: passed = 0, 429: refused = 0 } = statuses(answers)
  assert.equal(passed + refused, 200)
  assert.ok(passed >= 10 && refused > 0, `${passed} passed, ${refused} refused`)
  assert.ok(most <= 10, `${most} at once`)
})

test('A16: however a call ends, its slot comes back: refused, malformed, failed, timed out, left by its client', async (t) => {
  const gateway = await limited(t)
  addLimit(gateway, { scope: { key: 'k1' }, counts: 'parallel', amount: 3 })
  const who = as('k1')
  const leave = (more: object): Promise<void> =>
    new Promise((resolve) => {
      const request = http.request(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json', ...who },
      })
      request.on('error', () => resolve())
      request.on('response', (response) => {
        response.on('error', () => resolve())
        response.once('data', () => request.destroy())
      })
      request.on('close', () => resolve())
      request.end(JSON.stringify({ messages: [{ role: 'user', content: 'x' }], ...more }))
      setTimeout(() => request.destroy(), 60)
    })
  const free = async (): Promise<void> => {
    await until(async () => {
      const three = await Promise.all([1, 2, 3].map((n) => gateway.chat(`${MODEL}+delay=30`, `free ${n}`, {}, who)))
      return three.every(({ status }) => status === 200)
    }, 'all three slots are free')
  }
  for (let round = 0; round < 10; round++) {
    await gateway.send('/v1/chat/completions', '{"model": ', who)
    await gateway.chat(`${MODEL}+status=400`, 'x', {}, who)
    await gateway.chat('no-such-model', 'x', {}, who)
    await gateway.chat(`${MODEL}+reset=2`, 'x', { stream: true }, who)
    await gateway.chat(`${MODEL}+garbage`, 'x', {}, who)
    await leave({ model: `${MODEL}+hang-headers` })
    await leave({ model: `${MODEL}+stall=2`, stream: true })
    await leave({ model: `${MODEL}+endless`, stream: true })
  }
  await free()
})

test('a limit of one upstream is taken when it is called: the next target serves what it refuses', async (t) => {
  const gateway = await limited(t, { upstreams: { primary: 'openai', second: 'openai' } })
  await gateway.admin('PUT', 'routes/house', {
    targets: [
      { upstream: 'primary', model: 'gpt-4o-mini' },
      { upstream: 'second', model: 'gpt-4o-mini' },
    ],
  })
  addLimit(gateway, { scope: { upstream: 'primary' }, counts: 'requests', per: 'hour', amount: 2 })
  addLimit(gateway, { scope: { upstream: 'second', key: '*' }, counts: 'parallel', amount: 1 })
  const ask = (stream: boolean) => gateway.chat('house', 'x', { stream }, as('k1'))
  const served = []
  for (const stream of [true, false, true, false]) served.push((await ask(stream)).headers['x-stockyard-upstream'])
  assert.deepEqual(served, ['primary', 'primary', 'second', 'second'])
  const alone = await gateway.chat('primary/gpt-4o-mini', 'x')
  assert.equal(alone.status, 429)
  assert.match(alone.json.error.message, /upstream=primary/)
  assert.equal(gateway.upstream.ledger.rows.length, 4)
})

test('each end user has a counter of their own under one limit for all of them', async (t) => {
  const gateway = await limited(t)
  addLimit(gateway, { scope: { endUser: '*' }, counts: 'requests', per: 'hour', amount: 1 })
  addLimit(gateway, { scope: { endUser: 'vip' }, counts: 'parallel', amount: 5 })
  const ask = async (user: string) => (await gateway.chat(MODEL, 'x', { user }, as('k1'))).status
  assert.deepEqual(
    [await ask('a'), await ask('b'), await ask('a'), await ask('vip'), await ask('vip')],
    [200, 200, 429, 200, 429],
  )
  assert.equal((await gateway.chat(MODEL, 'no end user', {}, as('k1'))).status, 200)
})

test('observed, limits count on counters of their own, refuse nobody, show nothing, and say what would have been', async (t) => {
  const gateway = await limited(t, {}, 'observe')
  addLimit(gateway, { scope: {}, counts: 'requests', per: 'hour', amount: 2 })
  const answers: Answer[] = []
  for (let i = 0; i < 5; i++) answers.push(await gateway.chat(MODEL, 'x'))
  assert.deepEqual(statuses(answers), { 200: 5 })
  assert.ok(answers.every(({ headers }) => headers['x-upstream-ratelimit-limit-requests'] === undefined))
  // Nobody waits for an observer, so it may be a little behind.
  await until(async () => {
    const { hooks } = await gateway.admin('GET', 'modules/rate-limits')
    return hooks[0].calls === 5 && hooks[0].wouldRefuse === 3
  }, 'three would have been refused')
  await gateway.admin('PUT', 'modules/rate-limits', { mode: 'enforce' })
  assert.equal((await gateway.chat(MODEL, 'x')).status, 200, 'what was observed is not held against anybody')
})

test('A99: counters survive a restart on one machine with nothing but its own files', async (t) => {
  const gateway = await limited(t)
  addLimit(gateway, { scope: { key: 'k1' }, counts: 'requests', per: 'hour', amount: 10 })
  addLimit(gateway, { scope: { key: 'k1' }, counts: 'tokens', per: 'day', amount: 100_000 })
  for (let i = 0; i < 4; i++) await gateway.chat(MODEL, 'x', { max_tokens: 5 }, as('k1'))
  const before = await gateway.chat(MODEL, 'x', { max_tokens: 5 }, as('k1'))
  const used = before.json.usage.total_tokens
  await gateway.restart()
  const after = await gateway.chat(MODEL, 'x', { max_tokens: 5 }, as('k1'))
  assert.equal(left(after, 'requests'), left(before, 'requests') - 1)
  assert.equal(left(after, 'tokens'), left(before, 'tokens') - used)
})
