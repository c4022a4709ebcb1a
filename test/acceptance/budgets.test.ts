/** Spend caps as users need them: never passed by parallel calls, never tripped by phantoms, and plain about what to do. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import http from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { addBudget, as, changeBudget, whoever } from '../running/identity.ts'
import { type Answer, type Running, type RunningOptions, runGateway, until } from '../running/index.ts'

type Test = Parameters<typeof runGateway>[0]
const MONTH = { kind: 'calendar', unit: 'month' } as const

/** `openai/cheap` costs one dollar per million tokens of input, and a dime for a call of exactly 1,000 output tokens. */
async function capped(
  t: Test,
  settings: object = {},
  options: RunningOptions = {},
  mode = 'enforce',
): Promise<Running> {
  const gateway = await runGateway(t, { extraModules: [whoever as never], ...options })
  for (const upstream of Object.keys(options.upstreams ?? { openai: 'openai' })) {
    await gateway.admin('PUT', `prices/${upstream}%2Fdime`, { prices: [{ rates: { input: '0', output: '100' } }] })
    await gateway.admin('PUT', `prices/${upstream}%2Fcent`, { prices: [{ rates: { input: '0', output: '10' } }] })
    await gateway.admin('PUT', `prices/${upstream}%2Ffree`, { prices: [{ rates: { input: '0', output: '0' } }] })
  }
  // A failing upstream is to be called again and again.
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  await gateway.admin('PUT', 'modules/budgets', { mode, settings })
  return gateway
}
const DIME = { max_tokens: 1_000 }

/** Asks so that the upstream behaves; by what is said and not by the model's name, which has to have a price. */
const asked = new WeakMap<Running, Set<string>>()
function chat(gateway: Running, model: string, more: object = {}, who: Record<string, string> = {}): Promise<Answer> {
  const [name = '', ...behaviour] = model.split('+')
  const known = asked.get(gateway) ?? new Set()
  asked.set(gateway, known)
  const text = behaviour.length === 0 ? 'x' : `please ${behaviour.join(', ')}.`
  if (!known.has(text) && behaviour.length > 0) {
    known.add(text)
    gateway.upstream.script({ match: (row) => row.rawBody.includes(text), behaviour: behaviour.join(', '), times: 1e6 })
  }
  return gateway.chat(name, text, more, who)
}
/** A reply of exactly 1,000 tokens: a dime. */
const dime = (gateway: Running, who: Record<string, string> = {}, more: object = {}): Promise<Answer> =>
  chat(gateway, 'openai/dime+size=4000', { ...DIME, ...more }, who)

/** In nano-dollars, by SQL. */
function spentIn(dataDir: string, where = '1'): bigint {
  const db = new DatabaseSync(join(dataDir, 'ledger.db'), { readOnly: true, readBigInts: true })
  try {
    return (db.prepare(`SELECT coalesce(sum(cost), 0) AS n FROM ledger WHERE kind <> 'opened' AND ${where}`).get()?.n ??
      0n) as bigint
  } finally {
    db.close()
  }
}
const count = (answers: readonly Answer[], status: number): number => answers.filter((a) => a.status === status).length

test('A3, T15, A99: two hundred calls of a dime at once on a dollar: ten pass, and a dollar is spent', async (t) => {
  const gateway = await capped(t)
  const rounds = process.env.STOCKYARD_LONG ? 100 : 3
  for (let round = 0; round < rounds; round++) {
    const team = `t${round}`
    addBudget(gateway, { scope: { team }, amountUsd: '1', window: MONTH })
    const before = gateway.upstream.ledger.totals.requests
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) => dime(gateway, as(`k${n % 20}`, { team }), { stream: n % 2 === 0 })),
    )
    assert.equal(count(answers, 200), 10)
    assert.equal(count(answers, 429), 190)
    assert.equal(gateway.upstream.ledger.totals.requests - before, 10, 'a refused call goes nowhere')
    assert.equal(spentIn(gateway.dataDir, `team = '${team}'`), 1_000_000_000n)
  }
})

test('A118: over budget is a 429 that says which budget, until when, and that asking again is no use', async (t) => {
  const gateway = await capped(t)
  addBudget(gateway, { scope: { team: 'a' }, amountUsd: '100', window: MONTH })
  addBudget(gateway, { scope: { team: 'a' }, amountUsd: '10', window: { kind: 'calendar', unit: 'week' } })
  const tight = addBudget(gateway, {
    scope: { key: 'k1' },
    amountUsd: '0.1',
    window: { kind: 'rolling', seconds: 18_000 },
  })
  const who = as('k1', { team: 'a' })
  assert.equal((await dime(gateway, who)).status, 200)
  const refused = await dime(gateway, who, { stream: true })
  assert.equal(refused.status, 429)
  const { error } = refused.json
  assert.equal(error.type, 'budget_exceeded')
  assert.equal(error.code, 'insufficient_quota')
  assert.equal(error.budget, tight.id, 'of several budgets the one that is short is named')
  assert.deepEqual(error.scope, { key: 'k1' })
  assert.equal(error.spent_usd, '0.1')
  assert.ok(Date.parse(error.reset_at) > Date.now() + 17_000_000)
  assert.equal(refused.headers['x-should-retry'], 'false')
  assert.equal(refused.headers['retry-after'], undefined)
  assert.equal((await dime(gateway, as('k2', { team: 'a' }))).status, 200)
})

test('A118: Anthropic’s SDK, with its default retries, sends one request and throws at once, streamed and not', async (t) => {
  const gateway = await capped(t)
  addBudget(gateway, { scope: {}, amountUsd: '0.05', window: MONTH })
  let sent = 0
  const client = new Anthropic({
    apiKey: 'unused',
    baseURL: gateway.url,
    fetch: (url, init) => {
      sent++
      return fetch(url, init)
    },
  })
  for (const stream of [false, true]) {
    sent = 0
    const started = performance.now()
    const ask = client.messages.create({
      model: 'openai/dime',
      max_tokens: 1_000,
      stream,
      messages: [{ role: 'user', content: 'x' }],
    })
    await assert.rejects(ask, (error) => {
      assert.ok(error instanceof Anthropic.RateLimitError)
      assert.match(error.message, /Budget exceeded: 0\.05 USD per month/)
      return true
    })
    assert.equal(sent, 1)
    assert.ok(performance.now() - started < 5_000)
  }
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('A118: OpenAI’s SDK, with its default retries, sends one request and throws at once', async (t) => {
  const gateway = await capped(t)
  addBudget(gateway, { scope: {}, amountUsd: '0.05', window: MONTH })
  let sent = 0
  const client = new OpenAI({
    apiKey: 'unused',
    baseURL: `${gateway.url}/v1`,
    fetch: (url, init) => {
      sent++
      return fetch(url, init)
    },
  })
  const started = performance.now()
  const ask = client.chat.completions.create({
    model: 'openai/dime',
    max_completion_tokens: 1_000,
    messages: [{ role: 'user', content: 'x' }],
  })
  await assert.rejects(ask, (error) => error instanceof OpenAI.RateLimitError && error.code === 'insufficient_quota')
  assert.equal(sent, 1)
  assert.ok(performance.now() - started < 30_000)
})

test('A21: a model without a price is refused under a budget; let pass or taken for free when told so, and priced later', async (t) => {
  const gateway = await capped(t)
  const budget = addBudget(gateway, { scope: { key: 'k1' }, amountUsd: '1', window: MONTH })
  const ask = () => chat(gateway, 'openai/nobody-knows+size=4000', DIME, as('k1'))
  const refused = await ask()
  assert.equal(refused.status, 403)
  assert.equal(refused.json.error.code, 'budget_unpriced')
  assert.equal(refused.headers['x-should-retry'], 'false')
  assert.match(refused.json.error.message, /PUT \/api\/prices/)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
  assert.equal((await gateway.chat('openai/nobody-knows', 'x')).status, 200, 'who has no budget is not asked')
  await gateway.admin('PUT', 'modules/budgets', { mode: 'enforce', settings: { unpriced: 'allow-and-flag' } })
  const flagged = await ask()
  assert.equal(flagged.status, 200)
  assert.equal(flagged.headers['x-stockyard-unpriced'], 'true')
  await gateway.admin('PUT', 'modules/budgets', { mode: 'enforce', settings: { unpriced: 'zero' } })
  assert.equal((await ask()).headers['x-stockyard-unpriced'], undefined)
  const metrics = await fetch(`${gateway.url}/metrics`, { headers: { authorization: `Bearer ${gateway.adminKey}` } })
  assert.match(await metrics.text(), /unpriced_requests_total\D* 3/)
  // Both calls of k1 were of 1,000 tokens: at this price 90 cents, and nothing is left for a dime.
  await gateway.admin('PUT', 'prices/openai%2Fnobody-knows', { prices: [{ rates: { output: '450' } }] })
  await gateway.admin('POST', 'usage/reprice', { upstream: 'openai', model: 'nobody-knows' })
  const dear = await dime(gateway, as('k1'))
  const again = await dime(gateway, as('k1'))
  assert.deepEqual([dear.status, again.status], [200, 429])
  assert.equal(again.json.error.budget, budget.id)
})

test('A22: a model that costs nothing goes on working when the money is gone', async (t) => {
  const gateway = await capped(t)
  addBudget(gateway, { scope: {}, amountUsd: '0.1', window: MONTH })
  assert.equal((await dime(gateway)).status, 200)
  assert.equal((await dime(gateway)).status, 429)
  const free = await gateway.chat('openai/free', 'x', DIME)
  assert.equal(free.status, 200)
  assert.equal(free.headers['x-stockyard-cost-usd'], '0')
})

test('too little left: the output is clamped to what there is money for, and the answer says so', async (t) => {
  const gateway = await capped(t)
  const budget = addBudget(gateway, { scope: { key: '*' }, amountUsd: '0.15', window: MONTH, onInsufficient: 'clamp' })
  for (const stream of [false, true]) {
    const who = as(`k-${stream}`)
    assert.equal((await dime(gateway, who)).headers['x-stockyard-narrowed'], undefined)
    const clamped = await gateway.chat('openai/dime', 'a question'.repeat(300), { max_tokens: 1_000, stream }, who)
    assert.equal(clamped.status, 200)
    const [, tokens] = /^max_output_tokens=(\d+); budget=/.exec(String(clamped.headers['x-stockyard-narrowed'])) ?? []
    const sent = JSON.parse(gateway.upstream.ledger.rows.at(-1)?.rawBody ?? '{}')
    assert.equal(sent.max_tokens, Number(tokens))
    assert.equal(Number(tokens), 500)
    assert.match((await dime(gateway, who)).text, new RegExp(budget.id))
  }
  assert.equal(spentIn(gateway.dataDir), 300_000_000n)
})

test('too little left for the thoughts that were asked for: refused here, and not by the vendor', async (t) => {
  const gateway = await capped(
    t,
    { onInsufficient: 'clamp' },
    { upstreams: { openai: 'openai', anthropic: 'anthropic' } },
  )
  addBudget(gateway, { scope: {}, amountUsd: '0.15', window: MONTH })
  const body = { max_tokens: 4_000, messages: [{ role: 'user', content: 'x' }] }
  const ask = (path: string, more: object) => gateway.send(path, { model: 'anthropic/dime', ...body, ...more })
  for (const stream of [false, true]) {
    const thinking = { type: 'enabled', budget_tokens: 2_000 }
    for (const [path, more] of [
      ['/v1/messages', { thinking }],
      [
        '/v1beta/models/anthropic/dime:generateContent',
        {
          contents: [{ role: 'user', parts: [{ text: 'x' }] }],
          generationConfig: { maxOutputTokens: 4_000, thinkingConfig: { thinkingBudget: 2_000 } },
        },
      ],
    ] as const) {
      const refused = await ask(path, { ...more, ...(path.includes('beta') ? {} : { stream }) })
      assert.equal(refused.status, 429, refused.text)
    }
    const modest = await ask('/v1/messages', { stream, thinking: { ...thinking, budget_tokens: 1_024 } })
    assert.equal(modest.status, 200, modest.text)
  }
})

test('too little left: dearer targets are left out, and the answer says so', async (t) => {
  const gateway = await capped(t, { onInsufficient: 'fallback' }, { upstreams: { openai: 'openai', second: 'openai' } })
  await gateway.admin('PUT', 'routes/house', {
    targets: [
      { upstream: 'openai', model: 'dime' },
      { upstream: 'second', model: 'cent' },
    ],
  })
  addBudget(gateway, { scope: {}, amountUsd: '0.05', window: MONTH })
  const answer = await gateway.chat('house', 'x', DIME)
  assert.equal(answer.status, 200)
  assert.equal(answer.headers['x-stockyard-upstream'], 'second')
  assert.match(String(answer.headers['x-stockyard-narrowed']), /^dropped=openai\/dime; budget=/)
})

test('an upstream’s own budget sends calls elsewhere; its spending is that of the calls it served', async (t) => {
  const gateway = await capped(t, {}, { upstreams: { openai: 'openai', second: 'openai' } })
  await gateway.admin('PUT', 'routes/house', {
    targets: [
      { upstream: 'openai', model: 'dime' },
      { upstream: 'second', model: 'dime' },
    ],
  })
  addBudget(gateway, { scope: { upstream: 'openai' }, amountUsd: '0.2', window: MONTH })
  addBudget(gateway, { scope: { upstream: 'second' }, amountUsd: '0.1', window: MONTH })
  const served = []
  for (let i = 0; i < 4; i++) {
    const answer = await chat(gateway, 'house+size=4000', DIME)
    served.push(answer.headers['x-stockyard-upstream'] ?? answer.status)
  }
  assert.deepEqual(served, ['openai', 'openai', 'second', 429])
})

test('a stream is ended at the cap: an error event in its own dialect, what came is booked, and the money is not passed', async (t) => {
  const gateway = await capped(t, { reserve: 'expected' })
  addBudget(gateway, { scope: {}, amountUsd: '100', window: MONTH })
  // So that an answer is expected to be short: eight of them were.
  for (let i = 0; i < 9; i++) await chat(gateway, 'openai/dime+size=40+pace=5')
  const budget = addBudget(gateway, { scope: { key: 'k1' }, amountUsd: '0.05', window: MONTH })
  await gateway.admin('PUT', 'prices/openai%2Fdime', { prices: [{ rates: { input: '0', output: '100' } }] })
  const answer = await chat(gateway, 'openai/dime+size=40+pace=5', { stream: true }, as('k1'))
  assert.equal(answer.data.at(-1), '[DONE]', 'what fits is whole')
  const cut = await chat(gateway, 'openai/dime+endless+pace=1', { stream: true }, as('k1'))
  assert.equal(cut.status, 200)
  const last = JSON.parse(String(cut.data.at(-1)))
  assert.equal(last.error.type, 'budget_exceeded')
  assert.equal(last.error.budget, budget.id)
  await until(() => gateway.upstream.ledger.rows.at(-1)?.clientHungUpAt !== undefined, 'the upstream is left')
  const spent = spentIn(gateway.dataDir, "principal = 'k1'")
  assert.ok(spent > 20_000_000n, `${spent} are booked`)
  assert.ok(spent <= 51_000_000n, `${spent} are not much more than the cap`)
})

test('T17: an upstream that reports ten times the tokens: the excess is that of one call, and the next is refused', async (t) => {
  const gateway = await capped(t)
  addBudget(gateway, { scope: {}, amountUsd: '0.3', window: MONTH })
  const wild = await chat(gateway, 'openai/dime+usage-output=10000', DIME)
  assert.equal(wild.status, 200)
  assert.equal(spentIn(gateway.dataDir), 1_000_000_000n)
  assert.equal((await gateway.chat('openai/cent', 'x', { max_tokens: 1 })).status, 429)
})

test('T19: no number from either side lets a balance rise', async (t) => {
  const gateway = await capped(t)
  addBudget(gateway, { scope: {}, amountUsd: '100', window: { kind: 'lifetime' } })
  let before = spentIn(gateway.dataDir)
  for (const usage of ['1e400', '-1', '-1e9', '%22NaN%22', 'null', '0.5', '9007199254740993']) {
    for (const stream of [false, true]) {
      await chat(gateway, `openai/dime+usage-huge=${usage}`, { max_tokens: 10, stream })
      const after = spentIn(gateway.dataDir)
      assert.ok(after >= before, `${usage}: from ${before} to ${after}`)
      before = after
    }
  }
  for (const max_tokens of [-1, 0, 2 ** 63, -(2 ** 63)]) {
    const answer = await gateway.chat('openai/dime', 'x', { max_tokens })
    assert.ok([200, 400, 429].includes(answer.status), `${max_tokens}: ${answer.status}`)
    const after = spentIn(gateway.dataDir)
    assert.ok(after >= before)
    before = after
  }
})

test('A4: errors, timeouts and clients that leave hold nothing back: below the cap nobody is refused', async (t) => {
  const gateway = await capped(t)
  addBudget(gateway, { scope: {}, amountUsd: '0.25', window: MONTH })
  gateway.upstream.script({ match: (row) => row.rawBody.includes('leaving'), behaviour: 'hang-headers', times: 1e6 })
  for (let round = 0; round < 15; round++) {
    await Promise.all([
      chat(gateway, 'openai/dime+status=500', DIME),
      chat(gateway, 'openai/dime+reset', { ...DIME, stream: true }),
    ])
    const leaving = http.request(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json' },
    })
    leaving.on('error', () => {})
    leaving.end(JSON.stringify({ model: 'openai/dime', messages: [{ role: 'user', content: 'leaving' }], ...DIME }))
    await new Promise((resolve) => setTimeout(resolve, 15))
    leaving.destroy()
  }
  await until(async () => (await gateway.admin('GET', 'budget-accounts')).heldUsd === '0', 'nothing is held')
  assert.ok(spentIn(gateway.dataDir) < 1_000_000n)
  assert.deepEqual(
    [(await dime(gateway)).status, (await dime(gateway)).status, (await dime(gateway)).status],
    [200, 200, 429],
  )
})

test('A35: each threshold is told once in a window, signed, and again until it is taken', async (t) => {
  const secret = `whsec_${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`
  const got: { id: string; body: string; headers: http.IncomingHttpHeaders }[] = []
  let failures = 2
  const receiver = http.createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (part: string) => (body += part))
    request.on('end', () => {
      if (failures-- > 0) return void response.writeHead(503).end()
      got.push({ id: String(request.headers['webhook-id']), body, headers: request.headers })
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  t.after(() => receiver.close())
  const { port } = receiver.address() as { port: number }
  const gateway = await capped(t, { webhookUrl: `http://127.0.0.1:${port}/alerts` })
  await gateway.admin('PUT', 'modules/budgets/secrets/webhook', { secret })
  const budget = addBudget(gateway, { scope: { team: 'a' }, amountUsd: '1', window: MONTH })
  for (let i = 0; i < 7; i++) await dime(gateway, as('k1', { team: 'a' }))
  await until(() => got.length === 1, 'half of it is told', 15_000)
  await gateway.restart()
  for (let i = 0; i < 3; i++) await dime(gateway, as('k1', { team: 'a' }))
  await until(() => got.length === 3, 'all three are told', 15_000)
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  assert.deepEqual(
    got.map(({ body }) => JSON.parse(body).data.threshold_percent).sort((a, b) => a - b),
    [50, 80, 100],
  )
  for (const { id, body, headers } of got) {
    const signed = `${id}.${headers['webhook-timestamp']}.${body}`
    const signature = createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
      .update(signed)
      .digest('base64')
    assert.equal(headers['webhook-signature'], `v1,${signature}`)
    const { type, data } = JSON.parse(body)
    assert.equal(type, 'budget.threshold')
    assert.equal(data.budget, budget.id)
    assert.deepEqual(data.scope, { team: 'a' })
  }
  assert.equal(new Set(got.map(({ id }) => id)).size, 3)
})

test('soft budgets tell and let pass; raises hold until their end; a changed amount acts on the next request', async (t) => {
  const gateway = await capped(t)
  addBudget(gateway, { scope: { key: 'soft' }, amountUsd: '0.05', window: MONTH, hard: false })
  assert.deepEqual([(await dime(gateway, as('soft'))).status, (await dime(gateway, as('soft'))).status], [200, 200])
  const {
    version: _,
    createdAt: __,
    updatedAt: ___,
    ...budget
  } = addBudget(gateway, {
    scope: { key: 'k1' },
    amountUsd: '0.1',
    window: MONTH,
  })
  assert.deepEqual([(await dime(gateway, as('k1'))).status, (await dime(gateway, as('k1'))).status], [200, 429])
  changeBudget(gateway, { ...budget, raises: [{ amountUsd: '0.1', until: Date.now() + 60_000 }] })
  assert.deepEqual([(await dime(gateway, as('k1'))).status, (await dime(gateway, as('k1'))).status], [200, 429])
  changeBudget(gateway, { ...budget, raises: [{ amountUsd: '9', until: Date.now() - 1 }] })
  assert.equal((await dime(gateway, as('k1'))).status, 429)
  changeBudget(gateway, { ...budget, amountUsd: '0.3' })
  assert.deepEqual([(await dime(gateway, as('k1'))).status, (await dime(gateway, as('k1'))).status], [200, 429])
})

test('A32: what was spent is what the ledger says: after a restart, and for a budget that is made later', async (t) => {
  const gateway = await capped(t)
  addBudget(gateway, { scope: { team: 'a' }, amountUsd: '0.4', window: MONTH })
  for (let i = 0; i < 3; i++) assert.equal((await dime(gateway, as('k1', { team: 'a' }))).status, 200)
  await gateway.restart()
  assert.equal((await dime(gateway, as('k1', { team: 'a' }))).status, 200)
  assert.equal((await dime(gateway, as('k1', { team: 'a' }))).status, 429)
  addBudget(gateway, { scope: { organization: 'o' }, amountUsd: '0.1', window: { kind: 'lifetime' } })
  assert.equal((await dime(gateway, as('k9', { organization: 'o' }))).status, 200)
  addBudget(gateway, { scope: { key: 'k9' }, amountUsd: '0.15', window: { kind: 'rolling', seconds: 3_600 } })
  const refused = await dime(gateway, as('k9'))
  assert.equal(refused.status, 429)
  assert.equal(refused.json.error.spent_usd, '0.1')
  await gateway.admin('PUT', 'modules/budgets', { mode: 'off' })
  assert.equal((await dime(gateway, as('k8', { team: 'b' }))).status, 200)
  await gateway.admin('PUT', 'modules/budgets', { mode: 'enforce' })
  addBudget(gateway, { scope: { team: 'b' }, amountUsd: '0.15', window: MONTH })
  assert.equal((await dime(gateway, as('k8', { team: 'b' }))).status, 429, 'what was spent while it was off counts')
})

test('observed, a budget refuses nobody, holds on accounts of its own and says what would have been', async (t) => {
  const gateway = await capped(t, { onInsufficient: 'clamp' }, {}, 'observe')
  addBudget(gateway, { scope: {}, amountUsd: '0.1', window: MONTH })
  const seen = async (calls: number, refusals: number): Promise<boolean> => {
    const { hooks } = await gateway.admin('GET', 'modules/budgets')
    return hooks[0].calls === calls && hooks[0].wouldRefuse === refusals
  }
  // Nobody waits for an observer, and at first it asks the ledger.
  await gateway.chat('openai/free', 'x')
  await until(() => seen(1, 0), 'it is at work')
  for (let i = 0; i < 3; i++) {
    const answer = await dime(gateway)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['x-stockyard-narrowed'], undefined)
  }
  await until(() => seen(4, 2), 'two would have been refused')
})
