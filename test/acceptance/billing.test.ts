/** What callers are charged: beside what calls cost, never twice, never lost, and never more than was paid in advance. */
import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import http from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import Stripe from 'stripe'
import { as, whoever } from '../running/identity.ts'
import { type Answer, exchange, type Running, type RunningOptions, runGateway, until } from '../running/index.ts'

/** A reply of 1,000 tokens of `openai/dime` costs a dime. */
async function billed(t: TestContext, settings: object = {}, options: RunningOptions = {}): Promise<Running> {
  const gateway = await runGateway(t, { extraModules: [whoever as never], ...options })
  await gateway.admin('PUT', 'prices/openai%2Fdime', { prices: [{ rates: { input: '0', output: '100' } }] })
  await gateway.admin('PUT', 'prices/openai%2Ffree', { prices: [{ rates: { input: '0', output: '0' } }] })
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  await gateway.admin('POST', 'organizations', { id: 'globex' })
  await gateway.admin('POST', 'teams', { id: 'ml', organization: 'acme' })
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  await gateway.admin('PUT', 'modules/billing', { mode: 'enforce', settings })
  const behaviour = 'size=4000'
  gateway.upstream.script({ match: (row) => row.rawBody.includes('please a dime'), behaviour, times: 1e6 })
  return gateway
}
const ACME = { organization: 'acme' }
const dime = (gateway: Running, who: object = ACME, more: object = {}): Promise<Answer> =>
  gateway.chat('openai/dime', 'please a dime', { max_tokens: 1_000, ...more }, as('k1', who))
const count = (answers: readonly Answer[], status: number): number => answers.filter((a) => a.status === status).length
const balance = async (gateway: Running, account = 'organization:acme') =>
  (await gateway.admin('GET', `billing/balances?account=${account}`)).balances[0]

/** In nano-dollars, by SQL. */
function sqlSum(dataDir: string, column: string, where = '1'): bigint {
  const db = new DatabaseSync(join(dataDir, 'ledger.db'), { readOnly: true, readBigInts: true })
  try {
    return db.prepare(`SELECT coalesce(sum(${column}), 0) AS n FROM ledger WHERE ${where}`).get()?.n as bigint
  } finally {
    db.close()
  }
}

/** A clock that can be put forward; everything in this process reads it. */
function clock(t: TestContext): { days: number } {
  const real = Date.now.bind(Date)
  const shift = { days: 0 }
  t.mock.method(Date, 'now', () => real() + shift.days * 86_400_000)
  return shift
}
const monthOf = (at: number): string => new Date(at).toISOString().slice(0, 7)
/** Days until well into another month. */
const daysTo = (months: number): number => {
  const now = new Date()
  return Math.ceil((Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months, 4) - now.getTime()) / 86_400_000)
}

test('what is charged stands beside what it cost: in usage and in exports, by team before organization, while the module is on', async (t) => {
  const gateway = await billed(t)
  await gateway.admin('POST', 'terms', { id: 'gold', scope: ACME, payment: 'statements', markup: '12.5' })
  await gateway.admin('POST', 'terms', {
    id: 'list',
    scope: { team: 'ml' },
    payment: 'statements',
    prices: { 'openai/dime': { rates: { input: '0', output: '7' }, perRequest: '0.001' } },
  })
  for (const stream of [false, true]) {
    assert.equal((await dime(gateway, ACME, { stream })).status, 200)
    assert.equal((await dime(gateway, { organization: 'acme', team: 'ml' }, { stream })).status, 200)
    assert.equal((await dime(gateway, { organization: 'globex' }, { stream })).status, 200)
  }
  const rows = (await gateway.usage('organization,team')) as {
    group: { organization: string; team: string | null }
    costUsd: string
    chargeUsd: string
  }[]
  const of = (organization: string, team: string | null) => {
    const found = rows.find(({ group }) => group.organization === organization && group.team === team)
    return [found?.costUsd, found?.chargeUsd]
  }
  assert.deepEqual(of('acme', null), ['0.2', '0.225'])
  assert.deepEqual(of('acme', 'ml'), ['0.2', '0.016'])
  assert.deepEqual(of('globex', null), ['0.2', '0'])
  assert.equal(sqlSum(gateway.dataDir, 'charge'), 241_000_000n)
  assert.equal(sqlSum(gateway.dataDir, 'cost'), 600_000_000n, 'what it cost stays what it cost')

  const headers = { authorization: `Bearer ${gateway.adminKey}` }
  const exported = async (format: string) =>
    (await exchange(`${gateway.url}/api/usage/export?format=${format}`, 'GET', undefined, headers)).text
  const lines = (await exported('jsonl'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    lines.map(({ chargeUsd, terms }) => [chargeUsd, terms]).sort(),
    [
      ['0.008', 'list'],
      ['0.008', 'list'],
      ['0.1125', 'gold'],
      ['0.1125', 'gold'],
      [null, null],
      [null, null],
    ].sort(),
  )
  assert.match(await exported('csv'), /,tags,chargeUsd,terms\r\n.*,0\.1125,gold\r\n/s)
  assert.match(await exported('focus'), /,Tags,x_ChargedCost,x_Terms\r\n.*,0\.1125,gold\r\n/s)

  await gateway.admin('PUT', 'modules/billing', { mode: 'off' })
  assert.equal((await dime(gateway)).status, 200)
  assert.equal(sqlSum(gateway.dataDir, 'charge'), 241_000_000n, 'off, nobody is charged')
  assert.equal((await gateway.usage())[0]?.chargeUsd, undefined)
  assert.doesNotMatch(await exported('csv'), /chargeUsd/)
})

test('T15: two hundred calls at once on a dollar of credit, charged twice what they cost: five pass, nothing is owed', async (t) => {
  const gateway = await billed(t)
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'prepaid', markup: '100' })
  const first = await dime(gateway)
  assert.equal(first.status, 402, 'without a grant there is no credit')
  await gateway.admin('POST', 'grants', { scope: ACME, amountUsd: '1' })
  const before = gateway.upstream.ledger.totals.requests
  const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => dime(gateway, ACME, { stream: n % 2 === 0 })))
  assert.deepEqual([count(answers, 200), count(answers, 402)], [5, 195])
  assert.equal(gateway.upstream.ledger.totals.requests - before, 5, 'a refused call goes nowhere')
  assert.deepEqual(await balance(gateway), {
    account: 'organization:acme',
    creditUsd: '0',
    heldUsd: '0',
    debtUsd: '0',
    grants: [],
  })
  const free = await gateway.chat('openai/free', 'x', {}, as('k1', ACME))
  assert.equal(free.status, 200, 'A22: what costs nothing goes on')
  await gateway.restart()
  assert.equal((await dime(gateway)).status, 402, 'a restart gives nothing back')
  await gateway.admin('POST', 'grants', { scope: ACME, amountUsd: '0.2' })
  assert.deepEqual([(await dime(gateway)).status, (await dime(gateway)).status], [200, 402])
})

test('no credit: 402 in each dialect with the account and the next step, and the official SDKs ask once', async (t) => {
  const gateway = await billed(t, {}, { upstreams: { openai: 'openai', anthropic: 'anthropic' } })
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'prepaid' })
  await gateway.admin('POST', 'grants', { scope: ACME, amountUsd: '0.05' })
  const refused = await dime(gateway)
  const { error } = refused.json
  assert.equal(refused.status, 402)
  assert.deepEqual([error.type, error.code], ['insufficient_credit', 'insufficient_quota'])
  assert.match(error.message, /organization:acme has 0\.05 USD left.*may be charged 0\.1 USD.*POST \/api\/grants/)
  assert.deepEqual(error.scope, ACME)
  assert.equal(refused.headers['x-should-retry'], 'false')

  const messages = [{ role: 'user' as const, content: 'x' }]
  const claude = await gateway.send(
    '/v1/messages',
    { model: 'openai/dime', max_tokens: 1_000, messages },
    as('k1', ACME),
  )
  assert.equal(claude.status, 402)
  assert.equal(claude.json.type, 'error')
  assert.match(claude.json.error.message, /organization:acme/)
  const gemini = await gateway.send(
    '/v1beta/models/openai%2Fdime:generateContent',
    { contents: [{ role: 'user', parts: [{ text: 'x' }] }], generationConfig: { maxOutputTokens: 1_000 } },
    as('k1', ACME),
  )
  assert.equal(gemini.status, 402)
  assert.equal(gemini.json.error.code, 402)
  assert.match(gemini.json.error.message, /organization:acme/)

  let sent = 0
  const options = {
    apiKey: 'unused',
    defaultHeaders: as('k1', ACME),
    fetch: (url: string | URL | Request, init?: RequestInit) => {
      sent++
      return fetch(url, init)
    },
  }
  const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, ...options })
  await assert.rejects(
    openai.chat.completions.create({ model: 'openai/dime', max_completion_tokens: 1_000, messages }),
    (thrown) => thrown instanceof OpenAI.APIError && thrown.status === 402,
  )
  const anthropic = new Anthropic({ baseURL: gateway.url, ...options })
  await assert.rejects(
    anthropic.messages.create({ model: 'openai/dime', max_tokens: 1_000, messages }),
    (thrown) => thrown instanceof Anthropic.APIError && thrown.status === 402,
  )
  assert.equal(sent, 2)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
  assert.equal((await dime(gateway, { organization: 'globex' })).status, 200, 'others go on')
})

test('credit that ends soonest is spent first, and what ended is gone; keys see what is left', async (t) => {
  const time = clock(t)
  const gateway = await billed(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  const { headers } = gateway.key({ organization: 'acme' })
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'prepaid' })
  const expiresAt = new Date(Date.now() + 5 * 86_400_000).toISOString()
  await gateway.admin('POST', 'grants', { id: 'long', scope: ACME, amountUsd: '0.3' })
  await gateway.admin('POST', 'grants', { id: 'short', scope: ACME, amountUsd: '0.25', expiresAt })
  for (let i = 0; i < 2; i++) {
    assert.equal((await gateway.chat('openai/dime', 'please a dime', { max_tokens: 1_000 }, headers)).status, 200)
  }
  const about = await exchange(`${gateway.url}/v1/key`, 'GET', undefined, headers)
  assert.deepEqual(about.json.data.billing, {
    account: 'organization:acme',
    payment: 'prepaid',
    creditUsd: '0.35',
    heldUsd: '0',
    nextExpiry: { amountUsd: '0.05', at: expiresAt },
  })
  for (const restarted of [false, true]) {
    if (restarted) await gateway.restart()
    assert.deepEqual((await balance(gateway)).grants, [
      { grant: 'short', leftUsd: '0.05', expiresAt },
      { grant: 'long', leftUsd: '0.3', expiresAt: null },
    ])
  }
  time.days = 6
  assert.equal((await balance(gateway)).creditUsd, '0.3')
  await gateway.restart()
  assert.equal((await balance(gateway)).creditUsd, '0.3', 'asked of the ledger it is the same')
})

test('T17: a provider that reports more than was held leaves a debt, which the next grant pays first', async (t) => {
  const gateway = await billed(t)
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'prepaid' })
  await gateway.admin('POST', 'grants', { scope: ACME, amountUsd: '0.1' })
  gateway.upstream.script({ match: (row) => row.rawBody.includes('wild'), behaviour: 'usage-output=10000', times: 1 })
  assert.equal((await gateway.chat('openai/dime', 'wild', { max_tokens: 1_000 }, as('k1', ACME))).status, 200)
  assert.deepEqual([(await balance(gateway)).creditUsd, (await balance(gateway)).debtUsd], ['-0.9', '0.9'])
  assert.equal((await dime(gateway)).status, 402)
  await gateway.admin('POST', 'grants', { scope: ACME, amountUsd: '0.95' })
  assert.equal((await dime(gateway)).status, 402)
  await gateway.admin('POST', 'grants', { scope: ACME, amountUsd: '0.05' })
  assert.equal((await dime(gateway)).status, 200)
})

test('A21: an account that pays in advance is refused what has no price, until its own list has one', async (t) => {
  const gateway = await billed(t)
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'prepaid' })
  await gateway.admin('POST', 'grants', { scope: ACME, amountUsd: '1' })
  const ask = () => gateway.chat('openai/nobody-knows', 'please a dime', { max_tokens: 1_000 }, as('k1', ACME))
  const refused = await ask()
  assert.deepEqual([refused.status, refused.json.error.code], [403, 'billing_unpriced'])
  assert.equal(gateway.upstream.ledger.rows.length, 0)
  const prices = { 'openai/nobody-knows': { rates: { output: '500' } } }
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'prepaid', prices })
  assert.equal((await ask()).status, 200)
  assert.equal((await balance(gateway)).creditUsd, '0.5')
})

test('A29: of a failed attempt and the one that answered, only the second is charged; both are booked', async (t) => {
  const gateway = await billed(t, {}, { upstreams: { openai: 'openai', second: 'openai' } })
  await gateway.admin('PUT', 'prices/second%2Fdime', { prices: [{ rates: { input: '0', output: '100' } }] })
  await gateway.admin('PUT', 'routes/house', {
    targets: [
      { upstream: 'openai', model: 'dime+status=500' },
      { upstream: 'second', model: 'dime' },
    ],
  })
  await gateway
    .admin('PUT', 'prices/openai%2Fdime%2Bstatus%3D500', {
      prices: [{ rates: { perRequest: '0' }, perRequest: '0.05' }],
    })
    .catch(() => {})
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'statements', markup: '10' })
  const answer = await gateway.chat('house', 'please a dime', { max_tokens: 1_000 }, as('k1', ACME))
  assert.equal(answer.status, 200)
  const db = new DatabaseSync(join(gateway.dataDir, 'ledger.db'), { readOnly: true })
  const rows = db.prepare("SELECT upstream, outcome, charge FROM ledger WHERE kind = 'closed' ORDER BY seq").all()
  db.close()
  assert.ok(rows.length >= 2)
  for (const { outcome, charge, upstream } of rows) {
    assert.equal(charge, outcome === 'failed' ? 0 : 110_000_000, `${upstream} ${outcome}`)
  }
  assert.equal(rows.filter(({ outcome }) => outcome === 'done').length, 1)
})

test('T26: what is priced anew is charged anew, as a row of its own, and credit follows', async (t) => {
  const gateway = await billed(t)
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'prepaid', markup: '50' })
  await gateway.admin('POST', 'grants', { scope: ACME, amountUsd: '1' })
  await dime(gateway)
  assert.equal((await balance(gateway)).creditUsd, '0.85')
  await gateway.admin('PUT', 'prices/openai%2Fdime', { prices: [{ rates: { input: '0', output: '300' } }] })
  await gateway.admin('POST', 'usage/reprice', { upstream: 'openai', model: 'dime', all: true })
  assert.equal((await balance(gateway)).creditUsd, '0.55')
  await gateway.admin('POST', 'usage/reprice', { upstream: 'openai', model: 'dime', all: true })
  assert.equal((await balance(gateway)).creditUsd, '0.55', 'a second time changes nothing')
  await gateway.restart()
  assert.equal((await balance(gateway)).creditUsd, '0.55')
  assert.equal(sqlSum(gateway.dataDir, 'charge', "kind = 'adjustment'"), 300_000_000n)
})

const stockyardDb = <T>(gateway: Running, work: (db: DatabaseSync) => T): T => {
  const db = new DatabaseSync(join(gateway.dataDir, 'stockyard.db'), { timeout: 5_000 })
  try {
    return work(db)
  } finally {
    db.close()
  }
}
const raw = async (gateway: Running, path: string): Promise<Buffer> => {
  const answer = await fetch(`${gateway.url}/api/${path}`, { headers: { authorization: `Bearer ${gateway.adminKey}` } })
  assert.equal(answer.status, 200, path)
  return Buffer.from(await answer.arrayBuffer())
}

test('statements: a draft, then frozen with the next number, the same bytes for ever; what comes late stands on the next', async (t) => {
  const time = clock(t)
  const rates = [
    { currency: 'EUR', from: '2020-01-01', perUsd: '0.5' },
    { currency: 'EUR', from: '2026-01-01', perUsd: '0.9' },
  ]
  const gateway = await billed(t, { issuer: ['Example Ltd.', 'Tax 123'], numberPrefix: 'S-', exchangeRates: rates })
  const month = monthOf(Date.now())
  const account = 'organization:acme'
  await gateway.admin('POST', 'terms', {
    scope: ACME,
    payment: 'statements',
    markup: '20',
    currency: 'EUR',
    billTo: ['Acme 東京'],
  })
  await gateway.admin('POST', 'terms', { scope: { organization: 'globex' }, payment: 'statements' })
  for (let i = 0; i < 3; i++) await dime(gateway)
  await dime(gateway, { organization: 'globex' })
  const draft = await gateway.admin('GET', `billing/draft?account=${account}&month=${month}`)
  assert.deepEqual([draft.number, draft.totalUsd], [null, '0.36'])
  assert.deepEqual(draft.total, { currency: 'EUR', amount: '0.32', perUsd: '0.9', since: '2026-01-01' })
  await assert.rejects(gateway.admin('POST', 'billing/statements', { account, month }), /409 .*is not over yet/)

  time.days = daysTo(1)
  const next = monthOf(Date.now())
  await assert.rejects(gateway.admin('GET', `billing/draft?account=${account}&month=${next}`), /freeze .* first/)
  await dime(gateway)
  const both = await Promise.all([
    gateway.admin('POST', 'billing/statements', { account, month }),
    gateway.admin('POST', 'billing/statements', { account: 'organization:globex', month }),
    gateway.admin('POST', 'billing/statements', { account, month }),
  ])
  assert.deepEqual(both.map(({ number }) => number).sort(), ['S-1', 'S-1', 'S-2'])
  const [{ number, hash, lines, totalUsd }] = both
  assert.equal(number, 'S-1')
  assert.equal(totalUsd, '0.36', 'what was used in the month after is not of this one')
  assert.deepEqual(
    lines.map((line: Record<string, unknown>) => [line.model, line.calls, line.outputTokens, line.chargeUsd]),
    [['openai/dime', 3, 3_000, '0.36']],
  )
  const files = await Promise.all(
    ['csv', 'pdf', 'json'].map((format) => raw(gateway, `billing/statements/1?format=${format}`)),
  )
  assert.equal(files[1]?.subarray(0, 5).toString(), '%PDF-')
  assert.match(String(files[0]), /S-1,organization:acme,[\d-]+,usage,,openai\/dime,3,\d+,3000,USD,0\.36\r\n/)
  assert.match(String(files[0]), /,total,,,,,,EUR,0\.32\r\n$/)

  // Dearer afterwards: the month is closed, and the difference stands on the next statement.
  await gateway.admin('PUT', 'prices/openai%2Fdime', { prices: [{ rates: { input: '0', output: '200' } }] })
  await gateway.admin('POST', 'usage/reprice', { upstream: 'openai', model: 'dime', all: true })
  await gateway.restart()
  for (const [i, format] of ['csv', 'pdf', 'json'].entries()) {
    assert.deepEqual(await raw(gateway, `billing/statements/1?format=${format}`), files[i], `${format} is the same`)
  }
  assert.deepEqual(await gateway.admin('GET', 'billing/statements/1/verify'), { same: true, hash, again: hash })
  time.days = daysTo(2)
  const second = await gateway.admin('POST', 'billing/statements', { account, month: next })
  assert.equal(second.number, 'S-3')
  assert.deepEqual(
    [...second.lines, ...second.corrections].map((line) => [line.calls, line.chargeUsd]),
    [
      [1, '0.24'],
      [0, '0.36'],
    ],
  )
  const charged = sqlSum(gateway.dataDir, 'charge', "organization = 'acme'")
  assert.equal(charged, 960_000_000n)
  assert.equal(Number(totalUsd) + Number(second.totalUsd), 0.96, 'every row stands on exactly one statement')
  const { statements } = await gateway.admin('GET', `billing/statements?account=${account}`)
  assert.deepEqual(
    statements.map((one: { number: string }) => one.number),
    ['S-3', 'S-1'],
  )

  stockyardDb(gateway, (db) => {
    assert.throws(() => db.exec("UPDATE billing_statements SET content = '{}' WHERE number = 1"), /stays as it is/)
    assert.throws(() => db.exec('DELETE FROM billing_statements WHERE number = 3'), /stays/)
    assert.throws(
      () => db.exec("INSERT INTO billing_statements VALUES (9, 'a', '2026-01', 0, 0, '{}', '', 0, 'x')"),
      /without gaps/,
    )
  })
})

test('who may: terms and grants are set by the instance alone, and each organization sees its own money only', async (t) => {
  const gateway = await billed(t)
  const password = 'a-long-enough-password'
  for (const [id, organization, role] of [
    ['boss', 'acme', 'owner'],
    ['eye', 'acme', 'viewer'],
    ['other', 'globex', 'owner'],
    ['member', 'acme', 'member'],
  ]) {
    await gateway.admin('POST', 'users', {
      id,
      email: `${id}@example.com`,
      password,
      memberships: [{ organization, role }],
    })
  }
  await gateway.admin('POST', 'terms', { id: 'gold', scope: ACME, payment: 'prepaid' })
  await gateway.admin('POST', 'grants', { id: 'g1', scope: ACME, amountUsd: '1' })
  const asUser = async (id: string) => {
    const origin = { origin: gateway.url }
    const signedIn = await exchange(
      `${gateway.url}/api/session`,
      'POST',
      { email: `${id}@example.com`, password },
      origin,
    )
    const cookie = String(signedIn.headers['set-cookie']).split(';')[0] as string
    return async (method: string, path: string, body?: unknown) =>
      (await exchange(`${gateway.url}/api/${path}`, method, body, { cookie, ...origin })).status
  }
  const balances = 'billing/balances?account=organization:acme'
  const [boss, eye, other, member] = [
    await asUser('boss'),
    await asUser('eye'),
    await asUser('other'),
    await asUser('member'),
  ]
  for (const user of [boss, eye, other, member]) {
    assert.equal(await user('POST', 'terms', { scope: ACME, payment: 'none' }), 403)
    assert.equal(await user('POST', 'grants', { scope: ACME, amountUsd: '9' }), 403)
    assert.equal(await user('POST', 'billing/statements', { account: 'organization:acme', month: '2026-01' }), 403)
    assert.equal(await user('GET', 'billing/balances'), 403)
    assert.equal(await user('GET', 'billing/meter-events'), 403)
  }
  assert.deepEqual([await boss('GET', balances), await eye('GET', balances)], [200, 200])
  assert.deepEqual([await other('GET', balances), await member('GET', balances)], [404, 404])
  assert.deepEqual(
    [await eye('GET', 'grants/g1'), await other('GET', 'grants/g1'), await other('GET', 'terms/gold')],
    [200, 404, 404],
  )
  for (const method of ['PUT', 'DELETE']) {
    for (const path of ['terms/gold', 'grants/g1']) {
      const answer = await exchange(
        `${gateway.url}/api/${path}`,
        method,
        {},
        { authorization: `Bearer ${gateway.adminKey}` },
      )
      assert.ok([404, 405].includes(answer.status), `${method} ${path}: money is not changed and not removed`)
    }
  }
  const past = new Date(Date.now() - 1_000).toISOString()
  await assert.rejects(
    gateway.admin('POST', 'terms', { scope: ACME, payment: 'none', from: past }),
    /400 .*now or later/,
  )
  await assert.rejects(
    gateway.admin('POST', 'grants', { scope: { organization: 'acme', team: 'ml' }, amountUsd: '1' }),
    /400/,
  )
  const db = new DatabaseSync(join(gateway.dataDir, 'stockyard.db'), { readOnly: true })
  const changes = db
    .prepare("SELECT action, object FROM directory_changes WHERE action LIKE 'grant%' OR action LIKE 'terms%'")
    .all()
  db.close()
  assert.deepEqual(changes.map(({ action, object }) => `${action} ${object}`).sort(), [
    'grant.create grant/g1',
    'terms.create terms/gold',
  ])
})

/** Takes meter events as Stripe does: each identifier once, and says so the second time. */
async function stripeStandIn(t: TestContext) {
  const taken = new Map<string, { value: bigint; customer: string; name: string; timestamp: number }>()
  const faults: ('500' | 'lost' | 'refused')[] = []
  const seen: { identifier: string; key: string; idempotency: string }[] = []
  const server = http.createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (part: string) => (body += part))
    request.on('end', () => {
      const form = new URLSearchParams(body)
      const identifier = String(form.get('identifier'))
      const idempotency = String(request.headers['idempotency-key'])
      seen.push({ identifier, key: String(request.headers.authorization), idempotency })
      const say = (status: number, answer: object) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
      if (request.url !== '/v1/billing/meter_events') return void say(404, { error: { message: 'no such path' } })
      const fault = faults.shift()
      if (fault === '500') return void say(500, { error: { type: 'api_error', message: 'broken' } })
      if (fault === 'refused')
        return void say(400, { error: { type: 'invalid_request_error', message: 'no such customer' } })
      if (taken.has(identifier)) {
        const message = `An event already exists with identifier ${identifier}.`
        return void say(400, { error: { type: 'invalid_request_error', message } })
      }
      assert.match(String(form.get('payload[value]')), /^\d+$/)
      taken.set(identifier, {
        value: BigInt(String(form.get('payload[value]'))),
        customer: String(form.get('payload[stripe_customer_id]')),
        name: String(form.get('event_name')),
        timestamp: Number(form.get('timestamp')),
      })
      if (fault === 'lost') return void request.socket.destroy()
      say(200, { object: 'billing.meter_event', identifier })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    taken,
    faults,
    seen,
    total: () => [...taken.values()].reduce((sum, { value }) => sum + value, 0n),
  }
}

test('meter events: Stripe counts every micro-dollar once, through lost answers, faults, repeats and restarts', async (t) => {
  const stripe = await stripeStandIn(t)
  const gateway = await billed(t, { stripe: { eventName: 'llm_spend', everySeconds: 1, baseUrl: stripe.url } })
  await gateway.admin('POST', 'terms', {
    scope: ACME,
    payment: 'statements',
    markup: '33.3333',
    stripeCustomer: 'cus_acme',
  })
  await gateway.admin('POST', 'terms', { scope: { organization: 'globex' }, payment: 'statements' })
  await gateway.admin('POST', 'billing/meter-events/push', {})
  await dime(gateway)
  await dime(gateway, { organization: 'globex' })
  const due = () => sqlSum(gateway.dataDir, 'charge', "organization = 'acme'") / 1_000n
  const written = async (n: number) => (await gateway.admin('GET', 'billing/meter-events')).events.length === n
  await until(() => written(1), 'a round is written', 15_000)
  assert.equal(stripe.seen.length, 0, 'without a key nothing is sent, and nothing is lost')
  await gateway.admin('PUT', 'modules/billing/secrets/stripe-key', { secret: 'sk_test_standin' })
  stripe.faults.push('500', 'lost', 'refused')
  const settled = async () =>
    (await gateway.admin('GET', 'billing/meter-events')).events.every(
      (one: { sentAt: string | null }) => one.sentAt !== null,
    )
  await until(settled, 'all are known to have arrived', 60_000)
  assert.equal(stripe.total(), due())
  assert.ok(stripe.seen.length >= 4)
  for (let i = 0; i < 3; i++) {
    await Promise.all([dime(gateway), dime(gateway)])
    if (i === 1) stripe.faults.push('lost')
    await gateway.restart()
  }
  await until(async () => stripe.total() === due() && (await settled()), 'everything has arrived', 60_000)
  assert.equal(due(), 933_333n, '7 × 133,333.3 micro-dollars, what is less than one carried on')
  for (const { identifier, key, idempotency } of stripe.seen) {
    assert.equal(key, 'Bearer sk_test_standin')
    assert.equal(idempotency, identifier)
    assert.match(identifier, /^sy-[0-9a-f]{40}$/)
  }
  for (const { customer, name, timestamp } of stripe.taken.values()) {
    assert.deepEqual([customer, name], ['cus_acme', 'llm_spend'])
    assert.ok(Math.abs(timestamp - Date.now() / 1_000) < 300)
  }
})

test('meter events: one that may have arrived a day ago is not repeated unasked', async (t) => {
  const time = clock(t)
  const stripe = await stripeStandIn(t)
  const gateway = await billed(t, { stripe: { eventName: 'llm_spend', everySeconds: 1, baseUrl: stripe.url } })
  await gateway.admin('PUT', 'modules/billing/secrets/stripe-key', { secret: 'sk_test_standin' })
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'statements', stripeCustomer: 'cus_acme' })
  await gateway.admin('POST', 'billing/meter-events/push', {})
  stripe.faults.push(...Array.from({ length: 50 }, () => '500' as const))
  await dime(gateway)
  await until(() => stripe.seen.length > 0, 'it was tried', 30_000)
  time.days = 2
  const problem = async () => (await gateway.admin('GET', 'billing/meter-events')).events[0]
  await until(async () => /does not remember/.test((await problem()).problem ?? ''), 'it is given up', 30_000)
  stripe.faults.length = 0
  assert.equal(stripe.total(), 0n)
  await gateway.admin('POST', 'billing/meter-events/push', { resume: (await problem()).identifier })
  assert.equal(stripe.total(), 100_000n)
})

const SECRET = 'whsec_of_this_test'
const WEBHOOK = '/api/billing/stripe/webhook'
const paid = (id: string, session: object = {}): string =>
  JSON.stringify({
    id: `evt_${id}`,
    object: 'event',
    type: 'checkout.session.completed',
    data: {
      object: {
        id: `cs_${id}`,
        object: 'checkout.session',
        payment_status: 'paid',
        currency: 'usd',
        amount_total: 2_500,
        client_reference_id: 'organization:acme',
        customer: null,
        ...session,
      },
    },
  })
const mac = (secret: string, text: string, algorithm = 'sha256'): string =>
  createHmac(algorithm, secret).update(text).digest('hex')
const seconds = (): number => Math.floor(Date.now() / 1_000)
const signed = (body: string, at = seconds(), secret = SECRET): string => `t=${at},v1=${mac(secret, `${at}.${body}`)}`

test('T27: forged, old, future, repeated and unsigned deliveries are 4xx and credit nobody; without a secret there is no endpoint', async (t) => {
  const gateway = await billed(t)
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'prepaid' })
  const deliver = (body: string, signature?: string, more: Record<string, string> = {}) =>
    exchange(gateway.url + WEBHOOK, 'POST', body, {
      'content-type': 'application/json',
      ...(signature === undefined ? {} : { 'stripe-signature': signature }),
      ...more,
    })
  const absent = await exchange(`${gateway.url}/api/no-such-endpoint`, 'POST', '{}', {})
  const body = paid('1')
  for (const signature of [signed(body), signed(body, seconds(), ''), undefined]) {
    assert.equal((await deliver(body, signature)).status, absent.status, 'no secret, no endpoint')
  }
  assert.equal(absent.status, 404)
  await gateway.admin('PUT', 'modules/billing/secrets/stripe-webhook', { secret: SECRET })

  const now = seconds()
  const good = signed(body)
  const hex = mac(SECRET, `${now}.${body}`)
  const variants: Record<string, readonly [string, string | undefined]> = {
    'no signature': [body, undefined],
    'an empty signature': [body, ''],
    'a time alone': [body, `t=${now}`],
    'a signature alone': [body, `v1=${hex}`],
    'the secret of somebody else': [body, signed(body, now, 'whsec_other')],
    'an empty secret': [body, signed(body, now, '')],
    'ten minutes old': [body, signed(body, now - 600)],
    'ten minutes from now': [body, signed(body, now + 600)],
    'another scheme': [body, `t=${now},v0=${hex}`],
    'SHA-1': [body, `t=${now},v1=${mac(SECRET, `${now}.${body}`, 'sha1')}`],
    'SHA-512': [body, `t=${now},v1=${mac(SECRET, `${now}.${body}`, 'sha512')}`],
    'no algorithm at all': [body, `t=${now},v1=${createHash('sha256').update(body).digest('hex')}`],
    'another body': [paid('1', { amount_total: 999_900 }), good],
    'another time': [body, `t=${now - 1},v1=${hex}`],
    'a byte more': [`${body} `, good],
    'a time that is none': [body, `t=now,v1=${mac(SECRET, `NaN.${body}`)}`],
    'cut off': [body, good.slice(0, -2)],
    'signed, but no JSON': ['paid!', signed('paid!')],
  }
  for (const [name, [sent, signature]] of Object.entries(variants)) {
    const { status, text } = await deliver(sent, signature)
    assert.ok(status >= 400 && status < 500, `${name}: ${status}`)
    assert.ok(!text.includes(SECRET))
  }
  assert.equal((await balance(gateway)).creditUsd, '0')

  const first = await deliver(body, good)
  assert.deepEqual([first.status, first.json.effect], [200, 'credited'])
  assert.equal((await balance(gateway)).creditUsd, '25')
  assert.equal((await deliver(body, good)).status, 400, 'the same signature again')
  const again = await deliver(body, signed(body, now - 7))
  assert.deepEqual([again.status, again.json.effect], [200, 'none'], 'Stripe tells it again: no second effect')
  await gateway.restart()
  assert.equal((await deliver(body, good)).status, 400, 'also after a restart')
  assert.equal((await balance(gateway)).creditUsd, '25')
  assert.equal((await dime(gateway)).status, 200)

  for (const [session, effect] of [
    [{ payment_status: 'unpaid' }, 'none'],
    [{ currency: 'eur' }, 'none'],
    [{ client_reference_id: 'organization:nobody' }, 'none'],
    [{ amount_total: -5 }, 'none'],
  ] as const) {
    const other = paid(`x${JSON.stringify(session).length}`, session)
    const answer = await deliver(other, signed(other))
    assert.deepEqual([answer.status, answer.json.effect], [200, effect])
  }
  const refund = JSON.stringify({ id: 'evt_9', object: 'event', type: 'charge.refunded', data: { object: {} } })
  assert.equal((await deliver(refund, signed(refund))).json.effect, 'none')
  // What the official library signs is what the endpoint takes.
  const own = paid('2', { client_reference_id: null, customer: 'cus_acme' })
  await gateway.admin('POST', 'terms', { scope: ACME, payment: 'prepaid', stripeCustomer: 'cus_acme' })
  const header = Stripe.webhooks.generateTestHeaderString({ payload: own, secret: SECRET })
  assert.equal((await deliver(own, header)).json.effect, 'credited')
  assert.equal((await balance(gateway)).creditUsd, '49.9')
  await gateway.admin('PUT', 'modules/billing', { mode: 'off' })
  assert.equal((await deliver(own, signed(own))).status, 404)
})
