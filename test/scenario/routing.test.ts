/** Where a request goes: strategies, order, stickiness, what is left out before the call, rules and splits. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, type Running, runGateway } from '../running/index.ts'
import type { Row } from '../upstream/index.ts'

const NAMES = ['one', 'two', 'three', 'four', 'five']
const five = { upstreams: Object.fromEntries(NAMES.map((name) => [name, 'openai'])) }

const target = (upstream: string, more: object = {}) => ({ upstream, model: 'gpt-4o-mini', ...more })
const servedBy = (answer: Answer): string => {
  assert.equal(answer.status, 200, answer.text)
  return String(answer.headers['x-stockyard-upstream'])
}

async function counted(gateway: Running, times: number, more: object = {}): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (let i = 0; i < times; i++) {
    const upstream = servedBy(await gateway.chat('r', `question ${i}`, { stream: i % 2 === 0, ...more }))
    counts[upstream] = (counts[upstream] ?? 0) + 1
  }
  return counts
}

test('strategies: weighted by weight, round-robin in turns, priority always the first', async (t) => {
  const gateway = await runGateway(t, five)
  const put = (strategy: string, targets: object[]) => gateway.admin('PUT', 'routes/r', { strategy, targets })
  // That the shares are those of the weights is shown with many more draws beside the strategies.
  await put('weighted', [target('one', { weight: 3 }), target('two', { weight: 1 }), target('three', { weight: 0 })])
  assert.deepEqual(Object.keys(await counted(gateway, 100)).sort(), ['one', 'two'])
  await put(
    'round-robin',
    NAMES.slice(0, 3).map((name) => target(name)),
  )
  assert.deepEqual(await counted(gateway, 9), { one: 3, two: 3, three: 3 })
  await put('priority', [target('two'), target('one')])
  assert.deepEqual(await counted(gateway, 6), { two: 6 })
})

test('strategies: cost takes the cheapest whose price is known, usage the one with the fewest tokens this minute', async (t) => {
  const gateway = await runGateway(t, five)
  const price = (input: string) => ({ prices: [{ rates: { input, output: '1' } }] })
  await gateway.admin('PUT', 'prices/one/gpt-4o-mini', price('3'))
  await gateway.admin('PUT', 'prices/two/gpt-4o-mini', price('0.5'))
  await gateway.admin('PUT', 'routes/r', { strategy: 'cost', targets: [target('one'), target('two')] })
  assert.deepEqual(await counted(gateway, 4), { two: 4 })
  await gateway.admin('PUT', 'routes/r', {
    strategy: 'usage',
    targets: [target('three'), { upstream: 'four', model: 'gpt-4o-mini+usage-input=100000' }],
  })
  const used = await counted(gateway, 12)
  assert.ok((used.four ?? 0) <= 2, JSON.stringify(used))
})

test('strategies: latency leaves the one alone that does not answer, least-busy the one that is busy', async (t) => {
  const gateway = await runGateway(t, five)
  const { upstream } = gateway
  for (const [strategy, held, free] of [
    ['latency', 'one', ['two', 'three']],
    ['least-busy', 'four', ['five']],
  ] as const) {
    await gateway.admin('PUT', 'routes/r', { strategy, targets: [target(held)] })
    upstream.script({ behaviour: 'hang-headers' })
    const before = upstream.ledger.rows.length
    const waiting = gateway.chat('r', 'held').catch(() => undefined)
    await upstream.until(({ ledger }) => ledger.rows[before]?.behaviour?.['hang-headers'], 30_000)
    await gateway.admin('PUT', 'routes/r', { strategy, targets: [held, ...free].map((name) => target(name)) })
    const counts = await counted(gateway, 16)
    assert.equal(counts[held], undefined, JSON.stringify(counts))
    t.after(() => waiting)
  }
  const { targets } = await gateway.admin('GET', 'health/targets')
  assert.deepEqual(
    targets.map((each: { upstream: string; inFlight: number }) => [each.upstream, each.inFlight]).sort(),
    [
      ['five', 0],
      ['four', 1],
      ['one', 1],
      ['three', 0],
      ['two', 0],
    ],
  )
})

test('order: a target with a higher number is asked only when those before it have failed', async (t) => {
  const gateway = await runGateway(t, five)
  await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: { attemptsPerTarget: 1 } })
  await gateway.admin('PUT', 'routes/r', {
    strategy: 'round-robin',
    targets: [target('three', { order: 1 }), target('one'), target('two')],
  })
  assert.deepEqual(await counted(gateway, 6), { one: 3, two: 3 })
  await gateway.admin('PUT', 'routes/r', {
    targets: [target('three', { order: 1 }), { upstream: 'one', model: 'gpt-4o-mini+status=500' }],
  })
  assert.deepEqual(await counted(gateway, 4), { three: 4 })
})

for (const [by, sent] of [
  ['session header', [{}, { 'x-session-id': 'conversation-7' }]],
  ['prompt_cache_key', [{ prompt_cache_key: 'conversation-7' }, {}]],
  ['prefix', [{}, {}]],
] as const) {
  test(`A113: 50 turns over 5 targets stay at one, by ${by}; another one may go elsewhere; a failing target is left`, async (t) => {
    const gateway = await runGateway(t, five)
    await gateway.admin('PUT', 'routes/r', {
      strategy: 'round-robin',
      sticky: {},
      targets: NAMES.map((n) => target(n)),
    })
    const messages: object[] = [{ role: 'system', content: `You are number ${by}.` }]
    const seen = new Set<string>()
    const turn = async (i: number): Promise<string> => {
      messages.push({ role: 'user', content: `turn ${i}` })
      const body = { model: 'r', messages, stream: i % 3 === 0, ...sent[0] }
      const answer = await gateway.send('/v1/chat/completions', body, sent[1])
      messages.push({ role: 'assistant', content: 'yes' })
      return servedBy(answer)
    }
    for (let i = 0; i < 50; i++) seen.add(await turn(i))
    assert.equal(seen.size, 1, [...seen].join(', '))
    const [home] = [...seen] as [string]
    gateway.upstream.script({
      match: ({ headers }) => headers.authorization === `Bearer sk-test-secret-${home}`,
      behaviour: 'status=503',
      times: 2,
    })
    const moved = await turn(50)
    assert.notEqual(moved, home, 'the failing one is left')
    assert.equal(await turn(51), moved, 'and the conversation stays at its new place')
  })
}

/** What a vendor that keeps the prompts of each account apart would have read from its cache, as a share of all that was asked. */
function hitRatio(rows: readonly Row[], accountOf: (row: Row) => string): number {
  const seen = new Map<string, string[]>()
  let read = 0
  let all = 0
  for (const row of rows) {
    const { messages, input, contents, tools, ...rest } = JSON.parse(row.rawBody) as Record<string, unknown>
    const turns = (messages ?? input ?? contents) as unknown[]
    const head = [rest.system, rest.instructions, rest.systemInstruction, tools]
    const prompt = JSON.stringify([head, ...turns], (name, value) => (name === 'cache_control' ? undefined : value))
    const known = seen.get(accountOf(row)) ?? []
    let longest = 0
    for (const each of known) {
      let at = 0
      while (at < prompt.length && each.charCodeAt(at) === prompt.charCodeAt(at)) at++
      longest = Math.max(longest, at)
    }
    // Only beginnings of some length are kept at all.
    if (longest >= 256) read += longest
    all += prompt.length
    seen.set(accountOf(row), [...known.filter((each) => !prompt.startsWith(each.slice(0, -1))), prompt])
  }
  return read / all
}

const marked = { cache_control: { type: 'ephemeral' } }
const AGENTS: Readonly<
  Record<string, (system: string, turns: readonly string[], stream: boolean) => [string, object]>
> = {
  'chat completions': (system, turns, stream) => [
    '/v1/chat/completions',
    {
      model: 'r',
      stream,
      messages: [
        { role: 'system', content: system },
        ...turns.map((content, i) => ({ role: i % 2 ? 'assistant' : 'user', content })),
      ],
    },
  ],
  responses: (instructions, turns, stream) => [
    '/v1/responses',
    {
      model: 'r',
      stream,
      instructions,
      input: turns.map((content, i) => ({ role: i % 2 ? 'assistant' : 'user', content })),
    },
  ],
  // As agents do it: the last turn is marked, so what was marked the last time is not any more.
  messages: (text, turns, stream) => [
    '/v1/messages',
    {
      model: 'r',
      stream,
      max_tokens: 99,
      system: [{ type: 'text', text, ...marked }],
      messages: turns.map((turn, i) => ({
        role: i % 2 ? 'assistant' : 'user',
        content: i === turns.length - 1 ? [{ type: 'text', text: turn, ...marked }] : turn,
      })),
    },
  ],
  generateContent: (text, turns, stream) => [
    `/v1beta/models/r:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    {
      systemInstruction: { parts: [{ text }] },
      contents: turns.map((turn, i) => ({ role: i % 2 ? 'model' : 'user', parts: [{ text: turn }] })),
    },
  ],
}

for (const [name, ask] of Object.entries(AGENTS)) {
  test(`A113: ${name}: agents of 50 turns over 5 accounts hit the prompt cache within 5 % of what one account gives`, async (t) => {
    const gateway = await runGateway(t, five)
    const put = (sticky: boolean) =>
      gateway.admin('PUT', 'routes/r', {
        strategy: 'round-robin',
        ...(sticky ? { sticky: {} } : {}),
        targets: NAMES.map((n) => target(n)),
      })
    const work = async (): Promise<number> => {
      gateway.upstream.ledger.reset()
      const conversations = ['fox', 'hen', 'owl'].map((who) => ({
        system: `You are the ${who}. ${'Rules of the farm. '.repeat(20)}`,
        turns: [] as string[],
      }))
      for (let i = 0; i < 50; i++) {
        for (const { system, turns } of conversations) {
          turns.push(`${i}: ${'what else is there? '.repeat(5)}`)
          servedBy(await gateway.send(...ask(system, turns, i % 3 === 0)))
          turns.push('Nothing else.')
        }
      }
      const { rows } = gateway.upstream.ledger
      assert.equal(rows.length, 150)
      return hitRatio(rows, ({ headers }) => String(headers.authorization)) / hitRatio(rows, () => 'one')
    }
    await put(true)
    const sticky = await work()
    assert.ok(sticky > 0.95, `${sticky} of what one account would have hit`)
    if (name !== 'chat completions') return
    await put(false)
    const balanced = await work()
    assert.ok(balanced < 0.95, `the measure tells: ${balanced} without`)
  })
}

test('A113: without a key requests are balanced as ever', async (t) => {
  const gateway = await runGateway(t, five)
  await gateway.admin('PUT', 'routes/r', {
    strategy: 'round-robin',
    sticky: { by: ['session'] },
    targets: NAMES.map((name) => target(name)),
  })
  assert.deepEqual(await counted(gateway, 10), { one: 2, two: 2, three: 2, four: 2, five: 2 })
})

test('left out before the call: too small a window, missing senses, refused fields, too high a price', async (t) => {
  const gateway = await runGateway(t, five)
  const image = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,aGk=' } }] }]
  await gateway.admin('PUT', 'routes/r', {
    targets: [
      target('one', { capabilities: { contextTokens: 100, input: ['text'] } }),
      target('two', { capabilities: { contextTokens: 100_000, input: ['text', 'image'], refuses: ['seed'] } }),
      target('three', { capabilities: { input: ['text', 'image'] } }),
    ],
    requireParameters: true,
  })
  assert.equal(servedBy(await gateway.chat('r', 'short')), 'one')
  assert.equal(servedBy(await gateway.chat('r', 'x'.repeat(1_000))), 'two')
  assert.equal(servedBy(await gateway.send('/v1/chat/completions', { model: 'r', messages: image })), 'two')
  assert.equal(servedBy(await gateway.send('/v1/chat/completions', { model: 'r', messages: image, seed: 1 })), 'three')
  await gateway.admin('PUT', 'routes/r', {
    targets: [
      target('one', { capabilities: { input: ['text'] } }),
      target('two', { capabilities: { input: ['text'] } }),
    ],
    strategy: 'round-robin',
  })
  const refused = await gateway.send('/v1/chat/completions', { model: 'r', messages: image })
  assert.equal(refused.status, 400)
  assert.match(refused.json.error.message, /one\/gpt-4o-mini takes no image/)
  await gateway.admin('PUT', 'prices/one/gpt-4o-mini', { prices: [{ rates: { input: '3', output: '9' } }] })
  await gateway.admin('PUT', 'prices/two/gpt-4o-mini', { prices: [{ rates: { input: '1', output: '2' } }] })
  await gateway.admin('PUT', 'routes/r', { targets: [target('one'), target('two')], maxPrice: { output: '5' } })
  assert.equal(servedBy(await gateway.chat('r', 'cheap')), 'two')
  await gateway.admin('PUT', 'routes/r', { targets: [target('one', { maxPrice: { input: '2' } }), target('two')] })
  assert.equal(servedBy(await gateway.chat('r', 'cheap')), 'two')
})

test('an image in the request is no million tokens', async (t) => {
  const gateway = await runGateway(t, five)
  await gateway.admin('PUT', 'routes/r', {
    targets: [
      target('one', { capabilities: { contextTokens: 8_000, input: ['text', 'image'] } }),
      target('two', { capabilities: { contextTokens: 1_000_000, input: ['text', 'image'] } }),
    ],
  })
  const url = `data:image/png;base64,${Buffer.alloc(300_000, 7).toString('base64')}`
  const messages = [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }]
  assert.equal(servedBy(await gateway.send('/v1/chat/completions', { model: 'r', messages })), 'one')
})

test('A122: rules choose by estimated tokens, exactly at the boundary; the first that holds decides', async (t) => {
  const gateway = await runGateway(t, five)
  const bodyOf = (bytes: number): string => {
    const empty = JSON.stringify({ model: 'r', messages: [{ role: 'user', content: '' }] })
    return JSON.stringify({ model: 'r', messages: [{ role: 'user', content: 'x'.repeat(bytes - empty.length) }] })
  }
  await gateway.admin('PUT', 'routes/r', {
    targets: [
      target('one', { tags: ['small'] }),
      target('two', { tags: ['large'] }),
      target('three', { tags: ['gold'] }),
    ],
    rules: [
      { name: 'gold', when: [{ field: 'metadata.tier', operator: 'eq', value: 'gold' }], use: ['gold'] },
      { name: 'long', when: [{ field: 'tokens', operator: 'gt', value: 1_000 }], use: ['large'] },
      { when: [], use: ['small'] },
    ],
  })
  assert.equal(servedBy(await gateway.send('/v1/chat/completions', bodyOf(4_000))), 'one')
  assert.equal(servedBy(await gateway.send('/v1/chat/completions', bodyOf(4_001))), 'two')
  assert.equal(servedBy(await gateway.chat('r', 'hello', { metadata: { tier: 'gold' } })), 'three')
  assert.equal(servedBy(await gateway.chat('r', 'hello', { metadata: { tier: ['gold', 'x'] } })), 'three')
})

test('A122: rules read headers, parameters and time, never credentials, and refuse what cannot mean anything', async (t) => {
  const gateway = await runGateway(t, five)
  const rule = (field: string, operator: string, value?: unknown) => ({
    targets: [target('one', { tags: ['yes'] }), target('two', { tags: ['no'] })],
    rules: [
      { when: [{ field, operator, ...(value === undefined ? {} : { value }) }], use: ['yes'] },
      { when: [], use: ['no'] },
    ],
  })
  const says = async (field: string, operator: string, value: unknown, more: object = {}, headers = {}) => {
    await gateway.admin('PUT', 'routes/r', rule(field, operator, value))
    return servedBy(await gateway.chat('r', 'hello', more, headers)) === 'one'
  }
  assert.equal(await says('headers.X-Tier', 'in', ['a', 'b'], {}, { 'x-tier': 'b' }), true)
  assert.equal(await says('headers.x-tier', 'exists', false), true)
  assert.equal(await says('parameters.temperature', 'gte', 1, { temperature: 1 }), true)
  assert.equal(await says('parameters.temperature', 'gte', 1, { temperature: 0 }), false)
  assert.equal(await says('parameters.__proto__', 'exists', true), false)
  assert.equal(await says('time.clock', 'lte', '24:00'), true)
  assert.equal(await says('principal.kind', 'eq', 'local'), true)
  for (const [field, operator, value] of [
    ['headers.authorization', 'exists', true],
    ['constructor', 'exists', true],
    ['tokens', 'in', 5],
    ['model', 'eq', { a: 1 }],
  ] as const) {
    await assert.rejects(gateway.admin('PUT', 'routes/r', rule(field, operator, value)), /: 400 /)
  }
  const unknownTag = { targets: [target('one', { tags: ['a'] })], rules: [{ when: [], use: ['b'] }] }
  await assert.rejects(gateway.admin('PUT', 'routes/r', unknownTag), /no target of this route is tagged/)
})

test('splits: about the share that was asked for, and the same side for the same person', async (t) => {
  const gateway = await runGateway(t, five)
  await gateway.admin('PUT', 'routes/r', {
    targets: [target('one', { tags: ['stable'] }), target('two', { tags: ['canary'] })],
    splits: [{ name: 'canary', percent: 30, use: ['canary'] }],
  })
  let canary = 0
  for (let person = 0; person < 60; person++) {
    const first = servedBy(await gateway.chat('r', 'hi', { user: `person ${person}` }))
    assert.equal(servedBy(await gateway.chat('r', 'hi again', { user: `person ${person}`, stream: true })), first)
    if (first === 'two') canary++
  }
  assert.ok(canary >= 6 && canary <= 32, `${canary} of 60`)
})

for (const stream of [false, true]) {
  test(`a route that changes, and an upstream that goes, change nothing for a request that is under way${stream ? ', streamed' : ''}`, async (t) => {
    const gateway = await runGateway(t, five)
    await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: { attemptsPerTarget: 1 } })
    const behaviour = stream ? 'chunks=8+pace=100' : 'delay=800'
    await gateway.admin('PUT', 'routes/r', {
      targets: [
        { upstream: 'one', model: 'gpt-4o-mini+delay=800+status=503' },
        { upstream: 'two', model: `gpt-4o-mini+${behaviour}` },
      ],
    })
    const running = gateway.chat('r', 'under way', { stream })
    await gateway.upstream.until(({ ledger }) => ledger.rows.length === 1, 30_000)
    await gateway.admin('PUT', 'routes/r', { strategy: 'weighted', targets: [target('three')] })
    for (const name of ['one', 'two']) await gateway.admin('DELETE', `upstreams/${name}`)
    assert.equal(servedBy(await gateway.chat('r', 'the next one', { stream })), 'three')
    const answer = await running
    assert.equal(servedBy(answer), 'two')
    if (stream) assert.equal(answer.data.at(-1), '[DONE]')
    await gateway.admin('DELETE', 'routes/r')
    assert.equal((await gateway.chat('r', 'and now', { stream })).status, 404)
    const { targets } = await gateway.admin('GET', 'health/targets')
    assert.ok(targets.every((each: { inFlight: number }) => each.inFlight === 0))
  })
}
