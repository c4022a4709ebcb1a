/** What is booked when much happens at once: administrators who edit, usage that comes twice or late, retries and replays. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { type Running, runGateway } from '../running/index.ts'

type Rows = readonly Record<string, bigint | string | null>[]
function closedIn(gateway: Running, where = '1'): Rows {
  const db = new DatabaseSync(join(gateway.dataDir, 'ledger.db'), { readOnly: true, readBigInts: true })
  try {
    return db.prepare(`SELECT * FROM ledger WHERE kind <> 'opened' AND ${where} ORDER BY seq`).all() as Rows
  } finally {
    db.close()
  }
}
const sum = (rows: Rows, column: string): bigint =>
  rows.reduce((total, row) => total + ((row[column] ?? 0n) as bigint), 0n)

/** `model` costs a dime for the 1,000 tokens that it always answers with. */
async function dimes(t: Parameters<typeof runGateway>[0], upstreams?: Record<string, string>): Promise<Running> {
  const gateway = await runGateway(t, upstreams ? { upstreams } : {})
  for (const id of Object.keys(upstreams ?? { openai: 'openai' }))
    await gateway.admin('PUT', `prices/${id}%2Fdime`, { prices: [{ rates: { input: '0', output: '100' } }] })
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  return gateway
}

test('T18: administrators who edit the key, its budget and its team while calls settle lose no deduction', async (t) => {
  const gateway = await dimes(t)
  for (const id of ['keys', 'budgets', 'billing']) await gateway.admin('PUT', `modules/${id}`, { mode: 'enforce' })
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  await gateway.admin('POST', 'teams', { id: 'ml', organization: 'acme' })
  const made = await gateway.admin('POST', 'keys', { organization: 'acme', team: 'ml' })
  await gateway.admin('POST', 'terms', { scope: { organization: 'acme' }, payment: 'prepaid' })
  await gateway.admin('POST', 'grants', { scope: { organization: 'acme' }, amountUsd: '50' })
  const budget = { id: 'b', scope: { key: made.id }, amountUsd: '50', window: { kind: 'lifetime' } }
  await gateway.admin('POST', 'budgets', budget)
  gateway.upstream.script({ match: () => true, behaviour: 'size=4000', times: 1e6 })
  const headers = { authorization: `Bearer ${made.key}` }
  let over = false
  let edits = 0
  const edit = async (): Promise<void> => {
    while (!over) {
      edits++
      await gateway.admin('PUT', `keys/${made.id}`, { name: `edit ${edits}` })
      await gateway.admin('PUT', 'budgets/b', { amountUsd: `${50 + (edits % 5)}` })
      await gateway.admin('PUT', 'teams/ml', { tags: [`t${edits % 7}`] })
      await gateway.admin('POST', 'grants', { scope: { organization: 'acme' }, amountUsd: '0.01' })
    }
  }
  const editing = [edit(), edit()]
  const statuses: number[] = []
  const worker = async (n: number): Promise<void> => {
    for (let i = 0; i < 15; i++) {
      const answer = await gateway.chat('openai/dime', 'x', { max_tokens: 1_000, stream: (n + i) % 2 === 0 }, headers)
      statuses.push(answer.status)
    }
  }
  await Promise.all(Array.from({ length: 8 }, (_, n) => worker(n)))
  over = true
  await Promise.all(editing)
  assert.ok(edits > 10)
  assert.deepEqual([...new Set(statuses)], [200])
  const booked = sum(closedIn(gateway), 'cost')
  assert.equal(booked, BigInt(statuses.length) * 100_000_000n)
  const { accounts, heldUsd } = await gateway.admin('GET', 'budget-accounts')
  assert.deepEqual([accounts.find((one: { budget: string }) => one.budget === 'b').spentUsd, heldUsd], ['12', '0'])
  const [credit] = (await gateway.admin('GET', 'billing/balances?account=organization:acme')).balances
  const granted = 50n * 100n + BigInt(edits)
  assert.equal(credit.creditUsd, String(Number(granted - 1_200n) / 100))
})

test('T26: past calls of one organization, or with one key, are priced anew at its own price; all others stay', async (t) => {
  const gateway = await dimes(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  gateway.upstream.script({ match: () => true, behaviour: 'size=4000', times: 1e6 })
  const keys = ['acme', 'acme', 'globex'].map((organization) => {
    if (!gateway.served.gateway.store.directory.get('organization', organization)) {
      const change = { actor: 'test', action: 'test' }
      gateway.served.gateway.store.directory.change(change, (edit) => edit.insert('organization', { id: organization }))
    }
    return gateway.key({ organization })
  })
  for (const { headers } of keys)
    assert.equal((await gateway.chat('openai/dime', 'x', { max_tokens: 1_000 }, headers)).status, 200)
  const costs = () => keys.map(({ id }) => sum(closedIn(gateway, `principal = '${id}'`), 'cost') / 1_000_000n)
  const rates = (output: string) => ({ rates: { input: '0', output } })
  await gateway.admin('PUT', 'prices/openai%2Fdime', {
    prices: [rates('100'), { ...rates('200'), organization: 'acme' }, { ...rates('300'), key: keys[1]?.id }],
  })
  assert.deepEqual(costs(), [100n, 100n, 100n])
  const again = (more: object) =>
    gateway.admin('POST', 'usage/reprice', { upstream: 'openai', model: 'dime', all: true, ...more })
  assert.equal((await again({ organization: 'acme' })).differenceUsd, '0.2')
  assert.deepEqual(costs(), [200n, 200n, 100n])
  assert.equal((await again({ key: keys[1]?.id })).differenceUsd, '0.1')
  assert.deepEqual(costs(), [200n, 300n, 100n])
  assert.equal((await again({ organization: 'globex' })).differenceUsd, '0')
})

for (const [upstream, model] of [
  ['openai', 'gpt-4o-mini'],
  ['anthropic', 'claude-sonnet-4-5'],
  ['gemini', 'gemini-2.5-flash'],
] as const) {
  for (const [behaviour, source] of [
    ['no-usage', 'estimated'],
    ['dup-usage', 'provider'],
    ['usage-after-done', undefined],
  ] as const) {
    test(`T22: ${upstream}, a stream with ${behaviour} is counted once, and says who counted`, async (t) => {
      const gateway = await runGateway(t, { upstreams: { [upstream]: upstream } })
      gateway.upstream.script({ match: () => true, behaviour: `${behaviour}, size=400`, times: 10 })
      const answer = await gateway.chat(`${upstream}/${model}`, 'how many?', { stream: true })
      assert.equal(answer.status, 200)
      const rows = closedIn(gateway)
      assert.equal(rows.length, 1)
      const [row] = rows
      const theirs = gateway.upstream.ledger.rows[0]
      assert.ok(row && theirs)
      const output = Number(row.output ?? 0n) + Number(row.reasoning ?? 0n)
      if (source !== undefined) assert.equal(row.usage_source, source)
      if (row.usage_source === 'provider') {
        assert.deepEqual([Number(row.input), output], [theirs.inputTokens, theirs.outputTokens])
      } else {
        assert.equal(row.usage_source, 'estimated')
        assert.ok(output >= 50 && output <= 200, `${output} tokens of 400 bytes`)
      }
      const [usage] = await gateway.usage()
      assert.equal(Number(usage?.estimated), row.usage_source === 'estimated' ? 1 : 0)
    })
  }
}

test('T23: a storm of retries and fallbacks: a row for each call, money only for what was delivered, replays for nothing', async (t) => {
  const gateway = await dimes(t, { one: 'openai', two: 'openai', three: 'openai' })
  await gateway.admin('PUT', 'modules/failover', {
    mode: 'enforce',
    settings: { firstBackoffMs: 1, maxBackoffMs: 1 },
  })
  await gateway.admin('PUT', 'modules/idempotency', { mode: 'enforce' })
  await gateway.admin('PUT', 'routes/house', {
    targets: ['one', 'two', 'three'].map((upstream) => ({ upstream, model: 'dime' })),
  })
  // By turns: the first call of a request fails, or its first two, or its first three, or none.
  const seen = new Map<string, number>()
  gateway.upstream.script({
    match: (row) => {
      const text = /storm (\d+)/.exec(row.rawBody)?.[1] as string
      const before = seen.get(text) ?? 0
      seen.set(text, before + 1)
      return before < Number(text) % 4
    },
    behaviour: 'status=500',
    times: 1e6,
  })
  gateway.upstream.script({ match: () => true, behaviour: 'size=4000', times: 1e6 })
  const requests = 60
  const ask = (n: number) =>
    gateway.chat('house', `storm ${n}`, { max_tokens: 1_000, stream: n % 2 === 0 }, { 'idempotency-key': `storm-${n}` })
  const first = await Promise.all(Array.from({ length: requests }, (_, n) => ask(n)))
  assert.deepEqual([...new Set(first.map(({ status }) => status))], [200])
  const rows = closedIn(gateway)
  assert.equal(rows.length, gateway.upstream.ledger.totals.requests, 'a row for each call')
  assert.equal(rows.filter(({ outcome }) => outcome === 'failed').length, (requests / 4) * (1 + 2 + 3))
  assert.equal(
    sum(
      rows.filter(({ outcome }) => outcome === 'failed'),
      'cost',
    ),
    0n,
  )
  assert.equal(sum(rows, 'cost'), BigInt(requests) * 100_000_000n)
  assert.equal(new Set(rows.map(({ attempt }) => attempt)).size, rows.length)
  const calls = gateway.upstream.ledger.totals.requests
  const again = await Promise.all(Array.from({ length: requests }, (_, n) => ask(n)))
  assert.ok(again.every(({ headers }) => headers['idempotent-replayed'] === 'true'))
  assert.equal(gateway.upstream.ledger.totals.requests, calls)
  assert.equal(sum(closedIn(gateway), 'cost'), BigInt(requests) * 100_000_000n, 'a replay costs nothing')
  assert.equal(closedIn(gateway, "kind = 'hit'").length, requests)
})
