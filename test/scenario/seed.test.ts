/**
 * The product's promise in one table: what a proxy does, each row with its module toggled under traffic, in one process.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verifyExport } from '../../scripts/audit-verifier.mjs'
import { type Answer, exchange as exchangeOf, type Running, runGateway, streamedText, until } from '../running/index.ts'

const models = { upstreams: { primary: 'openai', second: 'openai' } }

/** Sends requests all the while, and says how many there were and which failed. */
function traffic(gateway: Running, model: string) {
  let on = true
  const failures: Answer[] = []
  let sent = 0
  const one = async (n: number): Promise<void> => {
    while (on) {
      const answer = await gateway.chat(model, `traffic ${n} ${sent++}`, { stream: sent % 2 === 0 })
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
  assert.match(sent(), /4111/)
  await set(gateway, 'pii', 'enforce')
  for (const stream of [false, true]) {
    assert.equal(await ask(stream), 'echo: my card: 4111 1111 1111 1111')
    assert.match(sent(), /my card: \[CARD_\w{8}\]/)
  }
  await set(gateway, 'pii', 'enforce', { action: 'mask' })
  assert.equal(await ask(true), 'echo: my card: [CARD]')
  await set(gateway, 'pii', 'off')
  assert.match(await ask(true), /4111/)
  assert.match(sent(), /4111/)
  assert.deepEqual((await running.stop()).failures, [])
})
