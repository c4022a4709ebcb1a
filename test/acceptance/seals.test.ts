/**
 * A61: reasoning that one account has sealed goes back to that account, over several upstreams and keys, in memory or after
 * a restart; where another must take it, it goes without what that one could not read, or is refused in plain words.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, exchange, type Running, runGateway } from '../running/index.ts'

const UPSTREAMS = { one: 'openai', two: 'openai', three: 'openai' }
const TURNS = 6

async function start(t: Parameters<typeof runGateway>[0], route: object = {}): Promise<Running> {
  const gateway = await runGateway(t, { upstreams: UPSTREAMS })
  await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: {} })
  const targets = Object.keys(UPSTREAMS).map((upstream) => ({ upstream, model: 'o4-mini' }))
  await gateway.admin('PUT', 'routes/thinker', { strategy: 'weighted', targets, ...route })
  return gateway
}

// biome-ignore lint/suspicious/noExplicitAny: items of an API
type Items = any[]
/** One turn of a client that keeps nothing at the vendor; what came back is put into its history. */
async function turn(gateway: Running, input: Items, stream: boolean, model = 'thinker'): Promise<Answer> {
  input.push({ role: 'user', content: 'go on' })
  const body = {
    model,
    input,
    stream,
    store: false,
    include: ['reasoning.encrypted_content'],
    reasoning: { effort: 'low' },
  }
  const answer = await gateway.send('/v1/responses', body)
  assert.equal(answer.status, 200, answer.text)
  const last = stream ? JSON.parse(answer.data.at(-1) as string).response : answer.json
  assert.match(last.output[0].encrypted_content, /\./)
  input.push(...last.output)
  return answer
}
const by = (answer: Answer) => answer.headers['x-stockyard-upstream']
/** What the provider was sent last. */
const sent = (gateway: Running) => JSON.parse(gateway.upstream.ledger.rows.at(-1)?.rawBody ?? '{}')
const seals = (items: Items) => items.filter((item) => item.encrypted_content !== undefined).length

for (const stream of [false, true]) {
  test(`A61: each turn goes to the upstream that sealed the one before${stream ? ', streamed' : ''}`, async (t) => {
    const gateway = await start(t)
    const used = new Set<string>()
    for (let conversation = 0; conversation < 8; conversation++) {
      const input: Items = []
      const first = by(await turn(gateway, input, stream))
      used.add(String(first))
      for (let i = 1; i < 4; i++) {
        const next = await turn(gateway, input, stream)
        assert.equal(by(next), first)
        assert.equal(next.headers['x-stockyard-attempts'], '1')
      }
      assert.equal(seals(sent(gateway).input), 3)
    }
    assert.ok(used.size > 1, 'the route spreads conversations')
    assert.ok(gateway.upstream.ledger.rows.every(({ status }) => status === 200))
  })
}

test('A61: each turn uses the key that sealed the one before, of several at one upstream', async (t) => {
  const gateway = await runGateway(t)
  const credentials = ['a', 'b', 'c', 'd'].map((id) => ({ id, secret: `sk-test-of-account-${id}` }))
  const baseUrl = `${gateway.upstream.url}/v1`
  await gateway.admin('PUT', 'upstreams/openai', { provider: 'openai', baseUrl, credentials })
  const used = new Set<string | undefined>()
  for (let conversation = 0; conversation < 8; conversation++) {
    const input: Items = []
    for (let i = 0; i < 3; i++) await turn(gateway, input, i === 1, 'openai/o4-mini')
    const keys = gateway.upstream.ledger.rows.slice(-3).map(({ headers }) => headers.authorization)
    assert.equal(new Set(keys).size, 1)
    used.add(keys[0])
  }
  assert.ok(used.size > 1, 'conversations are spread over the keys')
  assert.ok(gateway.upstream.ledger.rows.every(({ status }) => status === 200))
})

test('A61: it is known after a restart, and of a compacted conversation', async (t) => {
  const gateway = await start(t)
  const input: Items = []
  const first = by(await turn(gateway, input, true))
  await gateway.restart()
  for (let i = 0; i < TURNS; i++) assert.equal(by(await turn(gateway, input, false)), first)
  const compacted = await gateway.send('/v1/responses/compact', { model: 'thinker', input })
  assert.equal(compacted.status, 200, compacted.text)
  assert.equal(by(compacted), first)
  const shorter: Items = [...compacted.json.output]
  assert.ok(shorter.some(({ type }) => type === 'compaction'))
  await gateway.restart()
  for (let i = 0; i < TURNS; i++) assert.equal(by(await turn(gateway, shorter, i % 2 === 0)), first)
  assert.ok(gateway.upstream.ledger.rows.every(({ status }) => status === 200))
})

test('A61: where the maker is down or gone, another takes it without what it cannot read, and that is told', async (t) => {
  const gateway = await start(t)
  const input: Items = []
  const first = by(await turn(gateway, input, false)) as string
  const key = `Bearer sk-test-secret-${first}`
  gateway.upstream.script({ match: (row) => row.headers.authorization === key, behaviour: 'status=503', times: 99 })
  const next = await turn(gateway, input, true)
  assert.notEqual(by(next), first)
  assert.match(String(next.headers['x-stockyard-unsupported']), /sealed by another account/)
  assert.deepEqual(
    sent(gateway).input.map(({ type, role, id }: { type?: string; role?: string; id?: string }) => [type, role, id]),
    [
      [undefined, 'user', undefined],
      ['message', 'assistant', undefined],
      [undefined, 'user', undefined],
    ],
  )
  gateway.upstream.reset()
  // Now two accounts have sealed something, and the later one goes on.
  assert.equal(by(await turn(gateway, input, false)), by(next))
  assert.equal(seals(sent(gateway).input), 1)
})

test('A61: a route that may lose nothing says so, and so does everybody of a compacted conversation', async (t) => {
  const gateway = await start(t, { unsupported: 'reject' })
  const input: Items = []
  const first = by(await turn(gateway, input, false)) as string
  const { json } = await gateway.send('/v1/responses/compact', { model: 'thinker', input })
  const others = Object.keys(UPSTREAMS).filter((id) => id !== first)
  const targets = others.map((upstream) => ({ upstream, model: 'o4-mini' }))
  const ask = (items: Items, stream: boolean) =>
    gateway.send('/v1/responses', { model: 'thinker', stream, input: [...items, { role: 'user', content: 'more' }] })
  for (const unsupported of ['reject', 'drop']) {
    await gateway.admin('PUT', 'routes/thinker', { strategy: 'weighted', targets, unsupported })
    gateway.upstream.ledger.reset()
    for (const stream of [false, true]) {
      for (const items of unsupported === 'reject' ? [input, json.output] : [json.output]) {
        const refused = await ask(items, stream)
        assert.equal(refused.status, 400, refused.text)
        assert.equal(refused.json.error.code, 'sealed_elsewhere')
        assert.match(refused.json.error.message, /another account has sealed/)
      }
    }
    assert.equal(gateway.upstream.ledger.rows.length, 0)
  }
})

test('A61: a seal that nobody here has seen is tried, and left out when it is refused', async (t) => {
  const gateway = await start(t)
  const strange = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAAA-made-elsewhere' }
  const input: Items = [{ role: 'user', content: 'hello' }, strange, { role: 'assistant', content: 'hi' }]
  const answer = await turn(gateway, input, true)
  assert.match(String(answer.headers['x-stockyard-unsupported']), /sealed by another account/)
  const rows = gateway.upstream.ledger.rows.slice(-2)
  assert.deepEqual(
    rows.map(({ status }) => status),
    [400, 200],
  )
  assert.equal(answer.headers['x-stockyard-attempts'], '1')
  assert.equal(seals(sent(gateway).input), 0)
})

test('A61: the thinking of another vendor, lent to this API’s clients, does not reach an account that cannot read it', async (t) => {
  const gateway = await start(t)
  const baseUrl = gateway.upstream.url
  const credentials = [{ id: 'main', secret: 'sk-test-anthropic' }]
  await gateway.admin('PUT', 'upstreams/anthropic', { provider: 'anthropic', baseUrl, credentials })
  const input: Items = []
  await turn(gateway, input, false, 'anthropic/claude-sonnet-4-5')
  assert.equal(seals(input), 1)
  const there = await turn(gateway, input, true)
  assert.equal(gateway.upstream.ledger.rows.at(-1)?.status, 200)
  assert.equal(seals(sent(gateway).input), 0)
  assert.match(String(there.headers['x-stockyard-unsupported']), /sealed by another account/)
  await turn(gateway, input, false, 'anthropic/claude-sonnet-4-5')
  const { messages } = sent(gateway)
  const thinking = messages.flatMap(({ content }: { content: { type: string }[] }) =>
    Array.isArray(content) ? content.filter(({ type }) => type === 'thinking') : [],
  )
  assert.ok(thinking.length > 0, 'its maker gets it back')
})

test('A61: a stored response is followed up where it is, and refused where that is gone', async (t) => {
  const gateway = await start(t)
  for (let i = 0; i < 4; i++) {
    const made = await gateway.send('/v1/responses', { model: 'thinker', input: 'hello' })
    const follow = { model: 'thinker', input: 'more', previous_response_id: made.json.id }
    for (let j = 0; j < 3; j++) assert.equal(by(await gateway.send('/v1/responses', follow)), by(made))
    if (i < 3) continue
    const others = Object.keys(UPSTREAMS).filter((id) => id !== by(made))
    const targets = others.map((upstream) => ({ upstream, model: 'o4-mini' }))
    await gateway.admin('PUT', 'routes/thinker', { strategy: 'weighted', targets })
    await exchange(`${gateway.url}/api/upstreams/${by(made)}`, 'DELETE', undefined, {
      authorization: `Bearer ${gateway.adminKey}`,
    })
    const gone = await gateway.send('/v1/responses', follow)
    assert.equal(gone.status, 400, gone.text)
    assert.match(gone.json.error.message, new RegExp(`is at upstream "${by(made)}"`))
  }
})
