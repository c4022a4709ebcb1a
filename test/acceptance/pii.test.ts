/**
 * Personal data through the whole product: on every route, streamed and not, what the provider gets, what the client gets
 * back, and what is left behind on the disk.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { dialects } from '../../src/dialects/index.ts'
import { detectors } from '../../src/modules/pii/detectors/index.ts'
import { ASKED, everyRoute, formOf, RELAYED } from '../running/asking.ts'
import { type Answer, type Running, runGateway, streamedText, until } from '../running/index.ts'
import { assertStream } from '../streams/index.ts'

const MODEL = 'openai/gpt-4o-mini'
const EMAIL = 'jane.canary@example.com'
const CARD = '4111 1111 1111 1111'

const on = (gateway: Running, settings: object = {}, mode = 'enforce') =>
  gateway.admin('PUT', 'modules/pii', { mode, settings })
const sentOf = (gateway: Running): string => gateway.upstream.ledger.rows.at(-1)?.rawBody ?? ''

for (const route of everyRoute()) {
  const ask = (gateway: Running, text: string) => gateway.send(route.path(route.model), route.body(route.model, text))
  test(`A84: ${route.name}: masked upstream and restored; blocked before it is sent; answers looked at`, async (t) => {
    const gateway = await runGateway(t, ASKED)
    await on(gateway)
    const answer = await ask(gateway, `Write to ${EMAIL} about ${CARD}, please`)
    if (route.answers) assert.equal(answer.status, 200, answer.text)
    const sent = sentOf(gateway)
    assert.doesNotMatch(sent, /canary|4111 ?1111/)
    assert.match(sent, /\[EMAIL_[a-z0-9]{8}\].*\[CARD_[a-z0-9]{8}\]/)
    if (route.echoes) assert.match(route.said(answer), new RegExp(`Write to ${EMAIL} about ${CARD}, please`))
    assert.doesNotMatch(route.said(answer), /\[(?:EMAIL|CARD)_/)

    await on(gateway, { entities: { CARD: 'block' } })
    const before = gateway.upstream.ledger.rows.length
    const blocked = await ask(gateway, `Pay with ${CARD}`)
    assert.equal(blocked.status, 400)
    assert.match(blocked.text, /CARD/, 'the entity is named')
    assert.doesNotMatch(blocked.text, /4111 ?1111/, 'the value is not')
    assert.equal(blocked.headers['x-should-retry'], 'false')
    assert.equal(gateway.upstream.ledger.rows.length, before)

    if (!route.echoes) return
    await on(gateway, { requests: false, replies: true })
    const heard = await ask(gateway, `Tell ${EMAIL} that 10.20.30.40 is up.`)
    assert.equal(heard.status, 200, heard.text)
    assert.match(route.said(heard), /Tell \[EMAIL\] that \[IP\] is up\./)
    assert.doesNotMatch(heard.text, /canary|10\.20\.30/)
  })
}

test('A84: every family that is only relayed has a request here', () => {
  for (const { id, endpoints } of dialects as readonly { id: string; endpoints?: unknown }[]) {
    if (endpoints) assert.ok(RELAYED[id], `test/running/asking.ts knows no request for ${id}`)
  }
})

for (const [dialect, samples] of Object.entries(RELAYED)) {
  for (const { path, make } of samples) {
    test(`A84: ${path} (${dialect}), only relayed: masked upstream, blocked where it must be`, async (t) => {
      const gateway = await runGateway(t, ASKED)
      await on(gateway, { entities: { CARD: 'block' } })
      const asked = make(`Write to ${EMAIL}, please`)
      const answer = await gateway.send(path, asked.body, asked.headers)
      assert.notEqual(answer.status, 400, answer.text)
      assert.ok(/\[EMAIL_[a-z0-9]{8}\]/.test(sentOf(gateway)), `${answer.status} ${answer.text} ${sentOf(gateway)}`)
      assert.ok(!sentOf(gateway).includes('canary'))
      const before = gateway.upstream.ledger.rows.length
      const blocked = make(`Pay with ${CARD}`)
      const refused = await gateway.send(path, blocked.body, blocked.headers)
      assert.equal(refused.status, 400)
      assert.match(refused.text, /CARD/)
      assert.equal(gateway.upstream.ledger.rows.length, before)
    })
  }
}

test('T81: uploads that nobody can look into are refused, unless they are let pass', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  const { body, headers } = formOf({ purpose: 'batch' }, `{"body":{"messages":[{"role":"user","content":"${EMAIL}"}]}}`)
  const refused = await gateway.send('/v1/files', body, headers)
  assert.equal(refused.status, 400)
  assert.equal(refused.json.error.code, 'pii_unreadable')
  assert.equal(gateway.upstream.ledger.rows.length, 0)
  await on(gateway, { unreadable: 'pass' })
  assert.equal((await gateway.send('/v1/files', body, headers)).status, 200)
})

test('A87: a placeholder is restored however the stream is cut; equal values get equal placeholders in every turn', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  const seen = new Set<string>()
  for (const chunk of [1, 2, 3, 5, 7, 64]) {
    const answer = await gateway.chat(`${MODEL}+split=${chunk}`, `Mail ${EMAIL} now`, { stream: true })
    assert.equal(streamedText(answer), `echo: Mail ${EMAIL} now`)
    seen.add(/\[EMAIL_\w+\]/.exec(sentOf(gateway))?.[0] ?? '')
  }
  assert.equal(seen.size, 1)
})

test("A87: a placeholder that the model writes in small letters or escapes for Markdown is restored, and nobody else's is", async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  await gateway.chat(MODEL, `Mail ${EMAIL} now`)
  const token = /\[EMAIL_\w+\]/.exec(sentOf(gateway))?.[0] as string
  const foreign = '[EMAIL_aaaaaaaa]'
  for (const written of [
    token.toLowerCase(),
    token.replace('_', '\\_'),
    `**${token}**`,
    `[${token}](x)`,
    `[a ${token}`,
  ]) {
    for (const chunk of [1, 3, 64]) {
      const model = `${MODEL}+split=${chunk}+text=${encodeURIComponent(`It is ${written}, not ${foreign}`)}`
      for (const stream of [false, true]) {
        const answer = await gateway.chat(model, `Mail ${EMAIL} now`, { stream })
        const said = stream ? streamedText(answer) : answer.json.choices[0].message.content
        assert.ok(said.includes(EMAIL) && said.endsWith(`, not ${foreign}`), `${written} ${chunk} ${stream}: ${said}`)
      }
    }
  }
})

test('an exchange that is running when the module is switched off ends as it began', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  const running = gateway.chat(`${MODEL}+pace=20`, `Well, one two three four, mail ${EMAIL} now`, { stream: true })
  await until(() => gateway.upstream.ledger.rows.length === 1, 'it is under way')
  await gateway.admin('PUT', 'modules/pii', { mode: 'off' })
  assert.match(streamedText(await running), new RegExp(`mail ${EMAIL} now$`))
  await gateway.chat(MODEL, `Mail ${EMAIL} now`)
  assert.match(sentOf(gateway), /canary/)
})

const CALLERS: Readonly<
  Record<string, (gateway: Running, model: string, text: string, stream: boolean) => Promise<Answer>>
> = {
  'openai-chat': (gateway, model, content, stream) =>
    gateway.chat(model, content, {
      stream,
      tools: [{ type: 'function', function: { name: 'send', parameters: ANY } }],
    }),
  'openai-responses': (gateway, model, input, stream) =>
    gateway.send('/v1/responses', {
      model,
      input,
      stream,
      tools: [{ type: 'function', name: 'send', parameters: ANY, strict: false }],
    }),
  'anthropic-messages': (gateway, model, content, stream) =>
    gateway.send('/v1/messages', {
      model,
      stream,
      max_tokens: 900,
      messages: [{ role: 'user', content }],
      tools: [{ name: 'send', input_schema: ANY }],
    }),
  'gemini-generate': (gateway, model, text, stream) =>
    gateway.send(`/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`, {
      contents: [{ role: 'user', parts: [{ text }] }],
      tools: [{ functionDeclarations: [{ name: 'send', parameters: ANY }] }],
    }),
}
const ANY = { type: 'object', properties: { to: { type: 'string' } } }

for (const [dialect, ask] of Object.entries(CALLERS)) {
  test(`A89: ${dialect}: arguments of a call are restored with escapes, streamed and not, whoever answers`, async (t) => {
    const upstreams = { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' }
    const gateway = await runGateway(t, { upstreams })
    const original = 'Ann "Q" \\ O\tNeil \u{1f600}'
    await on(gateway, { patterns: [{ name: 'STAFF', pattern: 'Ann "Q"[^}]{1,12}Neil \\x{1f600}' }] })
    for (const model of ['openai/gpt-4o-mini', 'anthropic/claude-sonnet-4-5', 'gemini/gemini-2.5-flash']) {
      for (const stream of [false, true]) {
        const answer = await ask(gateway, model, `call:send{"to":"${EMAIL}","words":["${original}"]}`, stream)
        assert.doesNotMatch(sentOf(gateway), /canary|Neil/)
        const told = stream
          ? answer.data.filter((data) => data !== '[DONE]').map((data) => JSON.parse(data))
          : [answer.json]
        if (stream) assertStream(dialect, answer.text)
        assert.deepEqual(argumentsIn(told), { to: EMAIL, words: [original] }, `${model} ${stream}: ${answer.text}`)
        assert.doesNotMatch(answer.text, /\[(?:EMAIL|STAFF)_/, 'no snapshot says otherwise')
      }
    }
  })
}

/** The arguments of the only call, however the format says them. */
// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
function argumentsIn(told: readonly any[]): unknown {
  const whole = (at: unknown): unknown => {
    if (at === null || typeof at !== 'object') return undefined
    const { args, input, type } = at as { args?: object; input?: object; type?: string }
    if (args) return args
    if (type === 'tool_use' && input && Object.keys(input).length > 0) return input
    if (type === 'function_call') return JSON.parse((at as { arguments: string }).arguments || '{}')
    return Object.values(at)
      .map(whole)
      .find((found) => found !== undefined)
  }
  const pieces = told.map(
    (each) => each.choices?.[0]?.delta?.tool_calls?.[0]?.function?.arguments ?? each.delta?.partial_json ?? '',
  )
  const said: string = told[0]?.choices?.[0]?.message?.tool_calls?.[0]?.function?.arguments ?? pieces.join('')
  return said ? JSON.parse(said) : told.map(whole).findLast((found) => found !== undefined)
}

test('A89: calls, results and structured output of earlier turns are masked; schemas are not touched', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  const answer = await gateway.chat(MODEL, 'and now?', {
    messages: [
      { role: 'system', content: `You serve ${EMAIL}` },
      { role: 'user', content: `Find ${EMAIL}`, name: 'jane' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          {
            id: 'call_1',
            type: 'function',
            function: { name: 'find', arguments: JSON.stringify({ who: EMAIL, card: 4111111111111111 }) },
          },
        ],
      },
      { role: 'tool', tool_call_id: 'call_1', content: JSON.stringify({ found: EMAIL }) },
      { role: 'user', content: [{ type: 'text', text: `Thanks, ${EMAIL}` }] },
    ],
    user: EMAIL,
    metadata: { who: EMAIL },
    tools: [
      {
        type: 'function',
        function: {
          name: 'find',
          description: `as ${EMAIL}`,
          parameters: { type: 'object', properties: { who: { type: 'string', pattern: EMAIL } } },
        },
      },
    ],
  })
  assert.equal(answer.status, 200)
  const sent = JSON.parse(sentOf(gateway))
  const { tools, ...rest } = sent
  assert.doesNotMatch(JSON.stringify(rest), /canary|4111 ?1111/)
  assert.equal(tools[0].function.parameters.properties.who.pattern, EMAIL)
  const args = JSON.parse(sent.messages[2].tool_calls[0].function.arguments)
  assert.match(args.card, /^\[CARD_/)
  assert.equal(new Set(JSON.stringify(rest).match(/\[EMAIL_\w+\]/g)).size, 1, 'one value, one placeholder')
  assert.match(answer.json.choices[0].message.content, new RegExp(EMAIL))
})

test('A83: with bodies logged and the cache on, no original is left in any file, log line or metric', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway, { entities: { CARD: 'block' } })
  await gateway.admin('PUT', 'modules/logs', { mode: 'enforce', settings: { bodies: true } })
  await gateway.admin('PUT', 'modules/cache', { mode: 'enforce' })
  for (const stream of [false, true, false]) {
    const answer = await gateway.chat(MODEL, `Write to ${EMAIL}`, { stream, user: EMAIL })
    assert.match(stream ? streamedText(answer) : answer.json.choices[0].message.content, /canary/)
  }
  await gateway.chat(MODEL, `Pay with ${CARD}`)
  await gateway.chat(`${MODEL}+status=400`, `Write to ${EMAIL}`)
  const metrics = await fetchText(`${gateway.url}/metrics`)
  assert.match(metrics, /stockyard_pii_email_total [1-9]/)
  assert.doesNotMatch(metrics, /canary|4111 ?1111/)
  const { entries } = await gateway.admin('GET', 'logs?limit=10')
  for (const { requestId } of entries) {
    assert.doesNotMatch(JSON.stringify(await gateway.admin('GET', `logs/${requestId}`)), /canary|4111 ?1111/)
  }
  await gateway.served.close(1_000)
  for (const file of readdirSync(gateway.dataDir)) {
    assert.ok(!/canary|4111 ?1111/.test(readFileSync(join(gateway.dataDir, file), 'latin1')), file)
  }
})

test('T94: only complete placeholders of this very request are restored, never those of another owner or of a guess', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  await gateway.chat(MODEL, `Mine is ${EMAIL}`)
  const token = /\[EMAIL_\w+\]/.exec(sentOf(gateway))?.[0] as string
  assert.ok(token)
  for (const guess of [
    token,
    '[EMAIL_aaaaaaaa]',
    token.slice(0, -1),
    `[${token}]`,
    token.toLowerCase(),
    '[EMAIL_',
    '[CARD]',
  ]) {
    for (const stream of [false, true]) {
      const answer = await gateway.chat(MODEL, `What is ${guess}?`, { stream })
      const said = stream ? streamedText(answer) : answer.json.choices[0].message.content
      assert.equal(said, `echo: What is ${guess}?`)
    }
  }
})

test('T95: a recognizer that fails, is late or answers nonsense refuses the request; nothing goes upstream', async (t) => {
  const gateway = await runGateway(t)
  const recognizer = { url: `${gateway.upstream.url}/nowhere`, timeoutMs: 100 }
  await on(gateway, { recognizer })
  const before = gateway.upstream.ledger.rows.length
  const answer = await gateway.chat(MODEL, 'Jane Doe lives here')
  assert.equal(answer.status, 503)
  assert.match(answer.json.error.code, /module_unavailable/)
  await on(gateway, { recognizer: { url: 'http://127.0.0.1:9', timeoutMs: 100 } })
  assert.equal((await gateway.chat(MODEL, 'Jane Doe lives here', { stream: true })).status, 503)
  assert.equal(gateway.upstream.ledger.rows.slice(before).filter((row) => /chat/.test(row.path)).length, 0)
})

test('T95: a detector that throws refuses the request, and ends a reply before what it could not look at', async (t) => {
  const gateway = await runGateway(t)
  const card = detectors.find(({ entity, check }) => entity === 'CARD' && check) as { check?: unknown }
  const { check } = card
  t.after(() => Object.assign(card, { check }))
  Object.assign(card, {
    check() {
      throw new Error('broken')
    },
  })
  for (const stream of [false, true]) {
    await on(gateway)
    const before = gateway.upstream.ledger.rows.length
    const refused = await gateway.chat(MODEL, `Pay with ${CARD}, ${EMAIL}`, { stream })
    assert.equal(refused.status, 503)
    assert.doesNotMatch(refused.text, /4111|canary/)
    assert.equal(gateway.upstream.ledger.rows.length, before, 'nothing goes upstream')
    await on(gateway, { requests: false, replies: true })
    const heard = await gateway.chat(MODEL, `All is well so far, and then ${CARD} comes`, { stream })
    assert.match(heard.text, /module_unavailable/)
    assert.doesNotMatch(heard.text, /4111|comes|\[DONE\]/)
  }
})

test('T81: token numbers and fields named twice are refused, for nobody can tell what they say', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  const refused = async (path: string, body: unknown): Promise<void> => {
    const answer = await gateway.send(path, body)
    assert.equal(answer.status, 400)
    assert.equal(answer.json.error.code, 'pii_unreadable')
  }
  await refused('/v1/embeddings', { model: MODEL, input: [1, 2, 3] })
  await refused('/v1/completions', { model: MODEL, prompt: [[1, 2]] })
  await refused(
    '/v1/chat/completions',
    `{"model":"${MODEL}","messages":[{"role":"user","content":"${EMAIL}","content":"hi"}]}`,
  )
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('T81: a canary behind megabytes, in base64, in nested tool JSON and in odd letters is seen', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  const hidden = [
    `${EMAIL} ${'All work and no play. '.repeat(200_000)}${EMAIL}`,
    Buffer.from(`send it to ${EMAIL} as soon as you can`).toString('base64'),
    'ｊａｎｅ.ｃａｎａｒｙ＠ｅｘａｍｐｌｅ.ｃｏｍ',
    'jane.can\u200bary@exam\u00adple.com',
    JSON.stringify({ a: [{ b: JSON.stringify({ c: EMAIL }) }] }),
  ]
  for (const text of hidden) {
    const answer = await gateway.chat(MODEL, text)
    assert.equal(answer.status, 200)
    assert.ok(/\[EMAIL_[a-z0-9]{8}\]/.test(sentOf(gateway)), text.slice(0, 100))
    assert.ok(!/canary|Y2FuYXJ5|ｃａｎａｒｙ/.test(sentOf(gateway)), text.slice(0, 100))
    assert.ok(
      answer.text.trimEnd().length > 0 && answer.json.choices[0].message.content.endsWith(text),
      text.slice(-100),
    )
  }
})

test('A90: observing changes nothing and says what would have been hidden; an allow-list and `off` leave alone', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway, {}, 'observe')
  const observed = await gateway.chat(MODEL, `Write to ${EMAIL}`)
  assert.match(sentOf(gateway), /canary/)
  assert.match(observed.json.choices[0].message.content, /canary/)
  const tried = await gateway.admin('POST', 'modules/pii/try', { text: `Write to ${EMAIL}` })
  assert.deepEqual(tried.spans, [{ entity: 'EMAIL', action: 'pseudonymise', start: 9, end: 9 + EMAIL.length }])
  assert.match(tried.redacted, /^Write to \[EMAIL_\w{8}\]$/)
  await on(gateway, { allow: [EMAIL.toUpperCase()], entities: { CARD: 'off' } })
  await gateway.chat(MODEL, `Write to ${EMAIL} about ${CARD}`)
  assert.match(sentOf(gateway), /canary.*4111/)
})

test('A86: the first token is at most 50 ms later than without, at 20 ms between tokens', async (t) => {
  const gateway = await runGateway(t)
  const model = `${MODEL}+chunks=30+pace=20`
  const firstMs = async (): Promise<number> => {
    const started = performance.now()
    let first = 0
    await firstText(`${gateway.url}/v1/chat/completions`, model, () => {
      first ||= performance.now() - started
    })
    return first
  }
  const median = async (): Promise<number> => {
    const all: number[] = []
    for (let i = 0; i < 7; i++) all.push(await firstMs())
    return all.sort((a, b) => a - b)[3] as number
  }
  await firstMs()
  const without = await median()
  await on(gateway, { replies: true })
  await firstMs()
  const withIt = await median()
  assert.ok(withIt - without <= 50, `${(withIt - without).toFixed(1)} ms later`)
})

async function fetchText(url: string): Promise<string> {
  return (await fetch(url)).text()
}

/** Calls back with each piece of text as it comes. */
async function firstText(url: string, model: string, heard: () => void): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'Say some words.' }] }),
  })
  const decoder = new TextDecoder()
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    if (/"content":"[^"]/.test(decoder.decode(chunk))) heard()
  }
}
