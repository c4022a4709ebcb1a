/**
 * The product's promise in one table: what a proxy does, and what the gateway adds to it, each row with its module toggled
 * under traffic, in one process.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verifyExport } from '../../scripts/audit-verifier.mjs'
import { type Answer, exchange as exchangeOf, type Running, runGateway, streamedText, until } from '../running/index.ts'

const models = { upstreams: { primary: 'openai', second: 'openai' } }

/** Sends requests all the while, and says how many there were and which failed. */
function traffic(gateway: Running, model: string, headers: Record<string, string> = {}) {
  let on = true
  const failures: Answer[] = []
  let sent = 0
  const one = async (n: number): Promise<void> => {
    while (on) {
      const answer = await gateway.chat(model, `traffic ${n} ${sent++}`, { stream: sent % 2 === 0 }, headers)
      const whole =
        answer.status === 200 &&
        (answer.json ? answer.json.choices[0].finish_reason === 'stop' : answer.data.at(-1) === '[DONE]')
      if (!whole) failures.push(answer)
    }
  }
  const workers = [one(1), one(2), one(3)]
  return {
    async stop() {
      on = false
      await Promise.all(workers)
      return { sent, failures }
    },
  }
}

const set = (gateway: Running, id: string, mode: string, settings?: object) =>
  gateway.admin('PUT', `modules/${id}`, { mode, ...(settings ? { settings } : {}) })

test('seed: request routing — a route sends a public name to its first target, with failover off too', async (t) => {
  const gateway = await runGateway(t, models)
  await gateway.admin('PUT', 'routes/house-model', {
    targets: [
      { upstream: 'primary', model: 'gpt-4o-mini' },
      { upstream: 'second', model: 'gpt-4o' },
    ],
  })
  const running = traffic(gateway, 'house-model')
  for (const mode of ['off', 'enforce']) {
    await set(gateway, 'failover', mode)
    const answer = await gateway.chat('house-model', 'hello')
    assert.equal(answer.headers['x-stockyard-upstream'], 'primary')
    assert.equal(answer.json.model, 'gpt-4o-mini')
  }
  const { sent, failures } = await running.stop()
  assert.ok(sent > 0)
  assert.deepEqual(failures, [])
})

test('seed: provider failover — toggled under traffic; a failing target is survived, streamed and not', async (t) => {
  const gateway = await runGateway(t, models)
  await gateway.admin('PUT', 'routes/safe', {
    targets: [
      { upstream: 'primary', model: 'broken+status=503' },
      { upstream: 'second', model: 'gpt-4o-mini' },
    ],
  })
  const running = traffic(gateway, 'second/gpt-4o-mini')
  await set(gateway, 'failover', 'off')
  assert.equal((await gateway.chat('safe', 'hello')).status, 503)
  await set(gateway, 'failover', 'enforce')
  const unstreamed = await gateway.chat('safe', 'hello')
  assert.equal(unstreamed.status, 200)
  assert.equal(unstreamed.headers['x-stockyard-upstream'], 'second')
  assert.equal(unstreamed.headers['x-stockyard-attempts'], '2')
  const streamed = await gateway.chat('safe', 'hello', { stream: true })
  assert.equal(streamed.data.at(-1), '[DONE]')
  assert.equal(streamed.headers['x-stockyard-upstream'], 'second')
  assert.deepEqual((await running.stop()).failures, [])
})

test('seed: model aliasing — exact and wildcard, with overrides; off, the names are unknown', async (t) => {
  const gateway = await runGateway(t, models)
  await gateway.admin('PUT', 'aliases/fast', { model: 'primary/gpt-4o-mini', overrides: { temperature: 0 } })
  await gateway.admin('PUT', 'aliases/my-*', { model: 'second/*' })
  const running = traffic(gateway, 'primary/gpt-4o-mini')
  assert.equal((await gateway.chat('fast', 'hello', { temperature: 1 })).json.model, 'gpt-4o-mini')
  const sent = JSON.parse(gateway.upstream.ledger.rows.findLast((r) => r.rawBody.includes('hello'))?.rawBody ?? '{}')
  assert.equal(sent.temperature, 0)
  const wild = await gateway.chat('my-gpt-4o', 'hello')
  assert.equal(wild.headers['x-stockyard-upstream'], 'second')
  assert.equal(wild.json.model, 'gpt-4o')
  await set(gateway, 'aliases', 'off')
  const unknown = await gateway.chat('fast', 'hello')
  assert.equal(unknown.status, 404)
  assert.equal(unknown.json.error.code, 'model_not_found')
  await set(gateway, 'aliases', 'enforce')
  assert.equal((await gateway.chat('fast', 'hello')).status, 200)
  assert.deepEqual((await running.stop()).failures, [])
})

test('seed: cost tracking — always on: header, ledger and usage agree to the nano-dollar', async (t) => {
  const gateway = await runGateway(t, models)
  for (const { id } of (await gateway.admin('GET', 'modules')).modules) await set(gateway, id, 'off')
  await gateway.admin('PUT', 'prices/primary%2Fpriced', { prices: [{ rates: { input: '1.25', output: '10' } }] })
  let sum = 0n
  for (let i = 0; i < 5; i++) {
    const answer = await gateway.chat('primary/priced', 'what does this cost?')
    const { prompt_tokens, completion_tokens } = answer.json.usage
    const nanos = BigInt(prompt_tokens) * 1_250n + BigInt(completion_tokens) * 10_000n
    assert.equal(answer.headers['x-stockyard-cost-usd'], `0.${nanos.toString().padStart(9, '0').replace(/0+$/, '')}`)
    sum += nanos
  }
  const streamed = await gateway.chat('primary/priced', 'what does this cost?', {
    stream: true,
    stream_options: { include_usage: true },
  })
  const usage = streamed.data.map((d) => (d === '[DONE]' ? undefined : JSON.parse(d).usage)).findLast((u) => u)
  sum += BigInt(usage.prompt_tokens) * 1_250n + BigInt(usage.completion_tokens) * 10_000n
  const [row] = await gateway.usage('model')
  assert.equal(row?.costUsd, `0.${sum.toString().padStart(9, '0').replace(/0+$/, '')}`)
})

test('seed: caching — toggled live: miss, hit at no cost, off again, streamed and not', async (t) => {
  const gateway = await runGateway(t, models)
  const running = traffic(gateway, 'second/gpt-4o')
  const ask = (more = {}) => gateway.chat('primary/gpt-4o-mini', 'the same question', more)
  assert.equal((await ask()).headers['x-stockyard-cache'], undefined)
  await set(gateway, 'cache', 'enforce')
  const miss = await ask()
  assert.equal(miss.headers['x-stockyard-cache'], 'miss')
  const hit = await ask()
  assert.equal(hit.headers['x-stockyard-cache'], 'hit')
  assert.equal(hit.headers['x-stockyard-cost-usd'], '0')
  assert.equal(hit.text, miss.text)
  const replayed = await ask({ stream: true })
  assert.equal(replayed.headers['x-stockyard-cache'], 'hit')
  assert.equal(streamedText(replayed), miss.json.choices[0].message.content)
  assert.equal(replayed.data.at(-1), '[DONE]')
  await set(gateway, 'cache', 'off')
  assert.equal((await ask()).headers['x-stockyard-cache'], undefined)
  assert.deepEqual((await running.stop()).failures, [])
})

test('seed: basic audit — who changed what at /api/revisions, and which request went where at /api/logs', async (t) => {
  const gateway = await runGateway(t, models)
  await set(gateway, 'cache', 'enforce')
  const { revisions } = await gateway.admin('GET', 'revisions')
  assert.equal(revisions[0].actor, 'admin')
  assert.match(revisions[0].action, /modules\/cache/)
  assert.equal(revisions[0].after.mode, 'enforce')
  const running = traffic(gateway, 'second/gpt-4o')
  const answer = await gateway.chat('primary/gpt-4o-mini', 'remember me')
  const id = String(answer.headers['x-stockyard-request-id'])
  await running.stop()
  await until(
    async () =>
      (await gateway.admin('GET', 'logs?limit=200')).entries.some((e: { requestId: string }) => e.requestId === id),
    'it is logged',
  )
  const logged = await gateway.admin('GET', `logs/${id}`)
  assert.equal(logged.upstream, 'primary')
  assert.equal(logged.status, 200)
  assert.equal(logged.attemptList.length, 1)
  assert.ok(logged.trace.length > 0)
  assert.equal(logged.request, undefined, 'bodies are off')
  await set(gateway, 'logs', 'off')
  const after = await gateway.chat('primary/gpt-4o-mini', 'forget me')
  await set(gateway, 'logs', 'enforce')
  const { entries } = await gateway.admin('GET', 'logs?limit=200')
  assert.ok(!entries.some((e: { requestId: string }) => e.requestId === after.headers['x-stockyard-request-id']))
})

test('seed: audit trail — off, it is absent; on, every change and exchange is proven by a checkpoint, and switching off is a record', async (t) => {
  const gateway = await runGateway(t, models)
  await assert.rejects(gateway.admin('GET', 'audit'), /module_disabled/)
  const running = traffic(gateway, 'second/gpt-4o')
  await set(gateway, 'audit', 'enforce')
  const answer = await gateway.chat('primary/gpt-4o-mini', 'remember me for ever')
  const exchange = String(answer.headers['x-stockyard-request-id'])
  await set(gateway, 'cache', 'enforce')
  await set(gateway, 'cache', 'off')
  const of = async (query: string) => (await gateway.admin('GET', `audit?${query}`)).records
  await until(async () => (await of(`exchange=${exchange}`)).length === 3, 'the exchange and its two money rows')
  await until(async () => (await of('action=modules/cache*')).length === 2, 'both changes')
  const [change] = await of('action=modules/cache*')
  assert.equal(change.actor, 'admin')
  assert.equal(change.after.mode, 'off')
  assert.match(change.requestId, /^req_/)
  assert.equal(change.source, '127.0.0.1')
  const [record] = await of(`exchange=${exchange}&kind=exchange`)
  assert.equal(record.upstream, 'primary')
  assert.equal(record.principal, 'local')
  assert.ok(!JSON.stringify(await of('')).includes('remember me for ever'))
  await running.stop()
  const proven = await gateway.admin('GET', `audit/${record.seq}/proof`)
  assert.equal(proven.record.exchange, exchange)
  const exported = await exchangeOf(`${gateway.url}/api/audit?format=jsonl`, 'GET', undefined, {
    authorization: `Bearer ${gateway.adminKey}`,
  })
  const lines = exported.text.split('\n').slice(0, -1)
  const key = (await gateway.admin('GET', 'audit/status')).firstKey
  const kept = { keys: [key], checkpoints: [proven.frame.checkpoint] }
  assert.deepEqual((await verifyExport(lines, kept)).problems, [])
  const changed = lines.map((line) => line.replace(`"exchange":"${exchange}"`, '"exchange":"req_other"'))
  assert.ok((await verifyExport(changed, kept)).problems.some((p) => p.includes(`record ${record.seq} `)))
  await set(gateway, 'audit', 'off')
  await assert.rejects(gateway.admin('GET', 'audit'), /module_disabled/)
  await set(gateway, 'audit', 'enforce')
  await until(async () => (await of('action=modules/audit*')).length === 3, 'switching it off is a record')
  assert.equal((await of('action=audit.stop')).length, 1)
})

test('seed: PII redaction — toggled under traffic: hidden upstream, restored in the answer, streamed and not; off, as sent', async (t) => {
  const gateway = await runGateway(t, models)
  const running = traffic(gateway, 'second/gpt-4o')
  const sent = () => gateway.upstream.ledger.rows.findLast((r) => r.rawBody.includes('my card'))?.rawBody ?? ''
  const ask = async (stream: boolean, key: Record<string, string> = {}) => {
    const answer = await gateway.chat('primary/gpt-4o-mini', 'my card: 4111 1111 1111 1111', { stream }, key)
    return answer.json ? answer.json.choices[0].message.content : streamedText(answer)
  }
  assert.equal(await ask(false), 'echo: my card: 4111 1111 1111 1111')
  assert.match(sent(), /4111 1111/)
  await set(gateway, 'pii', 'enforce')
  for (const stream of [false, true]) {
    assert.equal(await ask(stream), 'echo: my card: 4111 1111 1111 1111')
    assert.match(sent(), /my card: \[CARD_\w{8}\]/)
  }
  await set(gateway, 'pii', 'enforce', { action: 'mask' })
  assert.equal(await ask(true), 'echo: my card: [CARD]')
  await set(gateway, 'pii', 'off')
  assert.match(await ask(true), /4111 1111/)
  assert.match(sent(), /4111 1111/)
  assert.deepEqual((await running.stop()).failures, [])
})

/** Two teams of one organization with a key each, and a model whose tokens have a price: 0.001 dollars each of the answer. */
async function teams(gateway: Running) {
  await gateway.admin('PUT', 'prices/primary%2Fgpt-4o-mini', {
    prices: [{ rates: { input: '0', output: '1000' } }],
  })
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  const keyOf = async (team: string) => {
    await gateway.admin('POST', 'teams', { id: team, organization: 'acme' })
    const { key, id } = await gateway.admin('POST', 'keys', { team })
    return { id, headers: { authorization: `Bearer ${key}` } }
  }
  return { web: await keyOf('web'), data: await keyOf('data') }
}
const GATEWAY = ['keys', 'rate-limits', 'budgets', 'audit', 'pii', 'guardrails']
const asks = (gateway: Running, headers: Record<string, string> = {}, more: object = {}) =>
  gateway.chat('primary/gpt-4o-mini', 'hello', { max_tokens: 100, ...more }, headers)

test('seed: the gateway off — keys, limits and caps are absent: rows say nothing, nobody reads them, no answer tells of them', async (t) => {
  const gateway = await runGateway(t, models)
  const { web } = await teams(gateway)
  const nothing = { scope: { team: 'web' }, amount: 0 }
  await gateway.admin('POST', 'limits', { ...nothing, counts: 'requests', per: 'minute' })
  await gateway.admin('POST', 'budgets', { scope: {}, amountUsd: '0', window: { kind: 'lifetime' } })
  const { snapshot, store } = gateway.served.gateway
  const on = snapshot.live.map(({ module }) => module.id)
  assert.deepEqual(
    GATEWAY.filter((id) => on.includes(id)),
    [],
  )
  const hooks = Object.values(snapshot.pipeline).flat() as { readonly id: string }[]
  assert.ok(!hooks.some(({ id }) => GATEWAY.includes(id)))
  assert.equal(snapshot.pipeline.authenticate.length, 0, 'who asks is not a question of any module')
  const reads = (['get', 'proof', 'figures', 'list'] as const).map((name) => t.mock.method(store.directory, name))
  for (const headers of [{}, web.headers]) {
    for (const stream of [false, true]) {
      const answer = await asks(gateway, headers, { stream })
      assert.equal(answer.status, 200, answer.text)
      // The vendor's own limits pass as they came; with ours on they would be renamed.
      assert.ok(answer.headers['x-ratelimit-limit-requests'])
      assert.ok(!Object.keys(answer.headers).some((name) => /x-upstream|budget|narrowed/.test(name)))
    }
  }
  assert.deepEqual(
    reads.map(({ mock }) => mock.callCount()),
    [0, 0, 0, 0],
    'no row of the directory is read for a request',
  )
  assert.deepEqual(
    (await gateway.usage('principal')).map(({ group }) => group),
    [{ principal: 'local' }],
  )
  await assert.rejects(gateway.admin('GET', 'budget-accounts'), /module_disabled/)
})

test('seed: per-user keys — switched on under traffic: each caller is who its key says; off, a key says nothing', async (t) => {
  const gateway = await runGateway(t, models)
  const { web, data } = await teams(gateway)
  await gateway.admin('PUT', 'teams/data', { models: ['gpt-4o'] })
  const running = traffic(gateway, 'second/gpt-4o', web.headers)
  assert.equal((await asks(gateway)).status, 200)
  await set(gateway, 'keys', 'enforce')
  for (const stream of [false, true]) {
    assert.equal((await asks(gateway, {}, { stream })).status, 401)
    assert.equal((await asks(gateway, web.headers, { stream })).status, 200)
    assert.equal((await asks(gateway, data.headers, { stream })).status, 403)
  }
  await gateway.admin('POST', `keys/${data.id}/block`, {})
  assert.equal((await asks(gateway, data.headers)).json.error.code, 'key_blocked')
  const groups = (await gateway.usage('principal,team')).map(({ group }) => group as Record<string, unknown>)
  assert.ok(groups.some(({ principal, team }) => principal === web.id && team === 'web'))
  await set(gateway, 'keys', 'off')
  assert.equal((await asks(gateway)).status, 200)
  assert.equal((await asks(gateway, data.headers)).status, 200)
  assert.deepEqual((await running.stop()).failures, [])
})

test('seed: rate limits — switched on under traffic: one team is refused, the other is not; off, nobody is', async (t) => {
  const gateway = await runGateway(t, models)
  const { web, data } = await teams(gateway)
  await set(gateway, 'keys', 'enforce')
  await gateway.admin('POST', 'limits', { scope: { team: 'web' }, counts: 'requests', per: 'day', amount: 2 })
  const running = traffic(gateway, 'second/gpt-4o', data.headers)
  for (let n = 0; n < 3; n++) assert.equal((await asks(gateway, web.headers)).status, 200)
  await set(gateway, 'rate-limits', 'enforce')
  for (let n = 0; n < 2; n++) assert.equal((await asks(gateway, web.headers)).status, 200, 'counted from here on')
  for (const stream of [false, true]) {
    const refused = await asks(gateway, web.headers, { stream })
    assert.equal(refused.status, 429)
    assert.equal(refused.json.error.code, 'rate_limit_exceeded')
    assert.deepEqual(refused.json.error.scope, { team: 'web' })
  }
  assert.equal((await asks(gateway, data.headers)).status, 200)
  const fresh = await gateway.admin('POST', 'limits', {
    scope: { team: 'data', model: 'primary/gpt-4o-mini' },
    counts: 'requests',
    per: 'day',
    amount: 1_000,
  })
  assert.equal((await asks(gateway, data.headers)).headers['x-ratelimit-limit-requests'], '1000')
  await gateway.admin('DELETE', `limits/${fresh.id}`)
  await set(gateway, 'rate-limits', 'observe')
  assert.equal((await asks(gateway, web.headers)).status, 200)
  await set(gateway, 'rate-limits', 'off')
  assert.equal((await asks(gateway, web.headers)).headers['x-upstream-ratelimit-limit-requests'], undefined)
  assert.deepEqual((await running.stop()).failures, [])
})

test('seed: spend caps — switched on under traffic: a team whose money is gone is refused, the other goes on; off, nobody is', async (t) => {
  const gateway = await runGateway(t, models)
  const { web, data } = await teams(gateway)
  await set(gateway, 'keys', 'enforce')
  const window = { kind: 'calendar', unit: 'month' }
  for (const team of ['web', 'data']) {
    await gateway.admin('POST', 'budgets', { scope: { team }, amountUsd: team === 'web' ? '0.001' : '100', window })
  }
  const running = traffic(gateway, 'second/gpt-4o', data.headers)
  assert.equal((await asks(gateway, web.headers)).status, 200, 'what is spent while it is off counts too')
  await set(gateway, 'budgets', 'enforce')
  for (const stream of [false, true]) {
    const refused = await asks(gateway, web.headers, { stream })
    assert.equal(refused.status, 429)
    assert.equal(refused.json.error.type, 'budget_exceeded')
    assert.equal(refused.json.error.code, 'insufficient_quota')
    assert.deepEqual(refused.json.error.scope, { team: 'web' })
    assert.equal(refused.headers['x-should-retry'], 'false')
    assert.equal((await asks(gateway, data.headers, { stream })).status, 200)
  }
  await set(gateway, 'budgets', 'off')
  assert.equal((await asks(gateway, web.headers)).status, 200)
  assert.deepEqual((await running.stop()).failures, [])
})

test('seed: usage — who used what for how much, by team and key, whatever is switched meanwhile, and exported', async (t) => {
  const gateway = await runGateway(t, models)
  const { web, data } = await teams(gateway)
  await set(gateway, 'keys', 'enforce')
  const running = traffic(gateway, 'second/gpt-4o', data.headers)
  let tokens = 0
  for (const mode of ['off', 'enforce', 'off']) {
    await set(gateway, 'budgets', mode)
    tokens += (await asks(gateway, web.headers)).json.usage.completion_tokens
  }
  const groups = await gateway.usage('team,key')
  const spent = groups.find(({ group }) => (group as { team: string }).team === 'web')
  assert.deepEqual(spent?.group, { team: 'web', key: web.id })
  assert.equal(spent?.costUsd, String(tokens / 1_000))
  const exported = await exchangeOf(`${gateway.url}/api/usage/export?format=jsonl&team=web`, 'GET', undefined, {
    authorization: `Bearer ${gateway.adminKey}`,
  })
  const rows = exported.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(rows.length, 3)
  const cost = rows.reduce((sum, row) => sum + Math.round(Number(row.costUsd) * 1_000), 0)
  assert.equal(cost, tokens, 'a thousandth of a dollar each')
  const own = await exchangeOf(`${gateway.url}/v1/key`, 'GET', undefined, web.headers)
  assert.equal(own.json.data.usageUsd, String(tokens / 1_000))
  assert.deepEqual((await running.stop()).failures, [])
})

test('seed: PII redaction in the gateway — for one team alone, its key in use: hidden upstream and in log and trail, restored for the caller', async (t) => {
  const gateway = await runGateway(t, models)
  const { web, data } = await teams(gateway)
  for (const id of ['keys', 'rate-limits', 'budgets', 'audit']) await set(gateway, id, 'enforce')
  await set(gateway, 'logs', 'enforce', { bodies: true })
  const running = traffic(gateway, 'second/gpt-4o', data.headers)
  const CARD = '4111 1111 1111 1111'
  const ask = async (headers: Record<string, string>, stream: boolean) => {
    const answer = await gateway.chat('primary/gpt-4o-mini', `my card: ${CARD}`, { stream }, headers)
    const id = String(answer.headers['x-stockyard-request-id'])
    const sent = gateway.upstream.ledger.rows.findLast((r) => r.rawBody.includes('my card'))?.rawBody ?? ''
    return { id, said: answer.json ? answer.json.choices[0].message.content : streamedText(answer), sent }
  }
  await gateway.admin('PUT', 'overrides/team:web', { modules: { pii: { mode: 'enforce' } } })
  for (const stream of [false, true]) {
    const hidden = await ask(web.headers, stream)
    assert.equal(hidden.said, `echo: my card: ${CARD}`)
    assert.match(hidden.sent, /my card: \[CARD_\w{8}\]/)
    const plain = await ask(data.headers, stream)
    assert.equal(plain.said, `echo: my card: ${CARD}`)
    assert.match(plain.sent, /4111 1111/)
    await until(async () => {
      const { entries } = await gateway.admin('GET', 'logs?limit=200&team=web')
      return entries.some((entry: { requestId: string }) => entry.requestId === hidden.id)
    }, 'it is logged')
    await until(async () => (await gateway.admin('GET', `logs/${hidden.id}`)).request !== undefined, 'with its text')
    assert.doesNotMatch(JSON.stringify(await gateway.admin('GET', `logs/${hidden.id}`)), /4111 ?1111/)
    await until(
      async () => (await gateway.admin('GET', `audit?exchange=${hidden.id}`)).records.length > 0,
      'it is in the trail',
    )
    assert.doesNotMatch(JSON.stringify(await gateway.admin('GET', `audit?exchange=${hidden.id}`)), /4111 ?1111/)
  }
  await gateway.admin('DELETE', 'overrides/team:web')
  assert.match((await ask(web.headers, true)).sent, /4111 1111/)
  assert.deepEqual((await running.stop()).failures, [])
})
