/** A stream that did not finish never looks finished, and a client that left is not paid for. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { type Answer, type Running, runGateway, streamedText, until } from '../running/index.ts'

const stream = { stream: true }
const failed = (answer: Answer): void => {
  assert.ok(!answer.data.includes('[DONE]'), 'no [DONE] after a failure')
  assert.ok(!answer.text.includes('"finish_reason":"stop"'), 'no finish reason after a failure')
  assert.ok(
    answer.data.some((d) => d.startsWith('{"error"')),
    `a terminal error event in ${answer.text.slice(-300)}`,
  )
}

for (const [fault, what] of [
  ['chunks=6+pace=20+truncate=4', 'FIN without a terminal event'],
  ['chunks=6+pace=20+reset=4', 'a reset connection'],
  ['chunks=6+pace=20+inband-error=3', 'an error event inside the stream'],
  ['chunks=6+pace=20+half-close=4', 'a half-closed connection'],
] as const) {
  test(`A44, T42: ${what} after content ends in the client's own error event, and the ledger says partial`, async (t) => {
    const gateway = await runGateway(t)
    const answer = await gateway.chat(`openai/gpt-4o-mini+${fault}`, 'tell me', stream)
    assert.equal(answer.status, 200)
    failed(answer)
    const id = String(answer.headers['x-stockyard-request-id'])
    await until(
      async () => (await gateway.admin('GET', 'logs')).entries.some((e: { requestId: string }) => e.requestId === id),
      'it is logged',
    )
    assert.equal((await gateway.admin('GET', `logs/${id}`)).attemptList[0].outcome, 'partial')
  })
}

test('A45: an upstream error before the stream begins is a real error status', async (t) => {
  const gateway = await runGateway(t)
  const answer = await gateway.chat('openai/gpt-4o-mini+status=400', 'hello', stream)
  assert.equal(answer.status, 400)
  assert.ok(answer.json.error.message)
})

test('T43: an HTML page with status 200 is a 502, and none of it is passed on', async (t) => {
  const gateway = await runGateway(t)
  for (const more of [{}, stream]) {
    const answer = await gateway.chat('openai/gpt-4o-mini+html', 'hello', more)
    assert.equal(answer.status, 502)
    assert.ok(!/<html/i.test(answer.text))
  }
})

test('A51: a missing [DONE] after the finish reason is tolerated', async (t) => {
  const gateway = await runGateway(t)
  const answer = await gateway.chat('openai/gpt-4o-mini+no-done', 'hello', stream)
  assert.match(answer.text, /"finish_reason":"stop"/)
  assert.equal(streamedText(answer), 'echo: hello')
})

test('A51: an end that was announced and left out is given to clients that wait for it; one that was not is an error', async (t) => {
  const gateway = await runGateway(t, { upstreams: { claude: 'anthropic' } })
  const ask = (model: string) =>
    gateway.send('/v1/messages', {
      model: `claude/claude-sonnet-4-5+${model}`,
      max_tokens: 50,
      messages: [{ role: 'user', content: 'hello' }],
      ...stream,
    })
  const whole = await ask('ok')
  const endless = await ask('no-done')
  const stable = (text: string) => text.replace(/msg_\w+/g, '')
  assert.equal(stable(endless.text), stable(whole.text))
  const cut = await ask('truncate=4')
  assert.match(cut.text, /event: error\n/)
  assert.ok(!cut.text.includes('message_stop'))
})

test('A50: streams in every format ask proxies on their way not to hold them back', async (t) => {
  const gateway = await runGateway(t)
  const asked = {
    model: 'openai/gpt-4o-mini',
    max_tokens: 20,
    messages: [{ role: 'user', content: 'hi' }],
    input: 'hi',
    ...stream,
  }
  const contents = [{ role: 'user', parts: [{ text: 'hi' }] }]
  for (const [path, body] of [
    ['/v1/chat/completions', asked],
    ['/v1/messages', asked],
    ['/v1/responses', asked],
    ['/v1beta/models/openai/gpt-4o-mini:streamGenerateContent?alt=sse', { contents }],
  ] as const) {
    const { headers } = await gateway.send(path, body)
    assert.deepEqual([headers['cache-control'], headers['x-accel-buffering']], ['no-cache', 'no'], path)
  }
})

test('A52: chunks with filter results and no choices pass through unchanged', async (t) => {
  const gateway = await runGateway(t)
  const answer = await gateway.chat('openai/gpt-4o-mini+filter-only', 'hello', stream)
  assert.ok(answer.data.some((d) => d.includes('prompt_filter_results') || d.includes('"choices":[]')))
  assert.equal(answer.data.at(-1), '[DONE]')
})

test('A27: usage is asked for upstream and withheld from a client that did not ask', async (t) => {
  const gateway = await runGateway(t)
  const silent = await gateway.chat('openai/gpt-4o-mini', 'hello', stream)
  assert.ok(!silent.text.includes('"usage":{'), 'nobody asked')
  const asked = await gateway.chat('openai/gpt-4o-mini', 'hello', {
    ...stream,
    stream_options: { include_usage: true },
  })
  assert.ok(asked.text.includes('"usage":{'))
  const rows = await gateway.usage()
  assert.equal(rows[0]?.estimated, 0)
})

test('A27: an upstream that ignores the wish for usage gets an estimate, flagged as such', async (t) => {
  const gateway = await runGateway(t)
  await gateway.chat('openai/gpt-4o-mini+ignore-include-usage', 'hello there', stream)
  assert.equal(Number((await gateway.usage())[0]?.estimated), 1)
})

test('A47: split at every byte, a relayed stream is byte-identical', async (t) => {
  const gateway = await runGateway(t)
  const whole = await gateway.chat('openai/gpt-4o-mini', 'emoji 🐄 and 漢字', stream)
  const split = await gateway.chat('openai/gpt-4o-mini+split=1', 'emoji 🐄 and 漢字', stream)
  const stable = (text: string) => text.replace(/"id":"[^"]*"/g, '"id":""')
  assert.equal(stable(split.text), stable(whole.text))
})

for (const encoding of ['gzip', 'br', 'zstd', 'deflate']) {
  test(`A50: an upstream that sends ${encoding} is readable, and its headers are ours`, async (t) => {
    const gateway = await runGateway(t)
    for (const more of [{}, stream]) {
      const answer = await gateway.chat(`openai/gpt-4o-mini+${encoding}`, 'hello', more)
      assert.equal(answer.status, 200)
      assert.equal(answer.headers['content-encoding'], undefined)
      assert.equal(answer.json ? answer.json.choices[0].message.content : streamedText(answer), 'echo: hello')
    }
  })
}

/** Leaves at a given moment, and says how soon the upstream saw it. */
async function leave(gateway: Running, model: string, streamed: boolean, when: (bytes: number) => boolean) {
  const before = gateway.upstream.ledger.rows.length
  const body = JSON.stringify({
    model,
    stream: streamed,
    messages: [{ role: 'user', content: 'a long question, about four tokens or more' }],
  })
  await new Promise<void>((resolve, reject) => {
    const request = http.request(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json' },
    })
    let bytes = 0
    const go = (): void => {
      request.destroy()
      resolve()
    }
    request.on('error', () => resolve())
    request.on('response', (response) => {
      response.on('error', () => {})
      response.on('data', (part: Buffer) => {
        bytes += part.length
        if (when(bytes)) go()
      })
      response.on('end', () => reject(new Error('it ended before the client left')))
    })
    request.end(body)
    if (when(0)) {
      void gateway.upstream.until((u) => u.ledger.rows.length > before).then(() => setTimeout(go, 50))
    }
  })
  const left = Date.now()
  await until(
    () => gateway.upstream.ledger.rows.at(-1)?.clientHungUpAt !== undefined,
    'the upstream saw the client leave',
  )
  return (gateway.upstream.ledger.rows.at(-1)?.clientHungUpAt ?? 0) - left
}

for (const [moment, model, streamed, when] of [
  ['before headers', 'openai/gpt-4o-mini+hang-headers', true, (n: number) => n === 0],
  ['before headers, unstreamed', 'openai/gpt-4o-mini+delay=5000', false, (n: number) => n === 0],
  ['before the first token', 'openai/gpt-4o-mini+first=5000', true, (n: number) => n === 0],
  ['after the first delta', 'openai/gpt-4o-mini+chunks=200+pace=20', true, (n: number) => n > 200],
] as const) {
  test(`A43, A1: a client that leaves ${moment} closes the upstream within 200 ms and is booked once`, async (t) => {
    const gateway = await runGateway(t)
    const delay = await leave(gateway, model, streamed, when)
    assert.ok(delay < 200, `${delay} ms`)
    await until(async () => (await gateway.usage()).length > 0, 'it is booked')
    const [row] = await gateway.usage()
    assert.equal(Number(row?.attempts), 1)
    assert.ok(Number((row as { tokens: { input: number } }).tokens.input) > 0, 'the prompt is booked')
    await until(async () => (await gateway.admin('GET', 'logs')).entries.length > 0, 'it is logged')
    assert.equal((await gateway.admin('GET', 'logs')).entries[0].outcome, 'client_cancel')
  })
}

test('A70: the same dialect relays the bytes: only the model and the wish for usage are edited', async (t) => {
  const gateway = await runGateway(t)
  const body =
    '{ "unknown_field": {"a": [1, 2.50, 1e2]},\n "model":"openai/gpt-4o-mini", "messages":[{"role":"user","content":"h\\u00e9","x":null}] }'
  const answer = await gateway.send('/v1/chat/completions', body)
  assert.equal(answer.status, 200)
  const row = gateway.upstream.ledger.rows.at(-1)
  assert.equal(row?.rawBody, body.replace('openai/gpt-4o-mini', 'gpt-4o-mini'))
})

test('T52: cookies, credentials and hop-by-hop headers of the upstream never reach the client', async (t) => {
  const gateway = await runGateway(t)
  const answer = await gateway.chat('openai/gpt-4o-mini+set-cookie', 'hello')
  for (const name of ['set-cookie', 'authorization', 'x-api-key', 'proxy-authenticate'])
    assert.equal(answer.headers[name], undefined)
})

test('A18: an upstream that repeats the key it was sent does not get it to the client or the log', async (t) => {
  const gateway = await runGateway(t)
  const answer = await gateway.chat('openai/gpt-4o-mini+status=401+echo-key', 'hello')
  assert.equal(answer.status, 502)
  assert.ok(!answer.text.includes('sk-test-secret-openai'))
  const id = String(answer.headers['x-stockyard-request-id'])
  await until(
    async () => (await gateway.admin('GET', 'logs')).entries.some((e: { requestId: string }) => e.requestId === id),
    'it is logged',
  )
  assert.ok(!JSON.stringify(await gateway.admin('GET', `logs/${id}`)).includes('sk-test-secret-openai'))
})

test('A29: each attempt is booked by itself; the exchange costs their sum', async (t) => {
  const gateway = await runGateway(t, { upstreams: { one: 'openai', two: 'openai' } })
  await gateway.admin('PUT', 'routes/chain', {
    targets: [
      { upstream: 'one', model: 'gpt-4o+status=500' },
      { upstream: 'two', model: 'gpt-4o-mini' },
    ],
  })
  const answer = await gateway.chat('chain', 'hello')
  assert.equal(answer.status, 200)
  const rows = await gateway.usage('upstream')
  const by = Object.fromEntries(rows.map((r) => [(r.group as { upstream: string }).upstream, r]))
  assert.equal(Number(by.one?.failed), 2, 'same target once more, then the next')
  assert.equal(Number(by.two?.attempts), 1)
})

test('A21: a model nobody knows the price of is flagged and counted, and priced afterwards', async (t) => {
  const gateway = await runGateway(t, { upstreams: { mine: 'custom' } })
  const answer = await gateway.chat('mine/secret-model', 'hello')
  assert.equal(answer.headers['x-stockyard-cost-usd'], undefined)
  const { models } = await gateway.admin('GET', 'usage/unpriced')
  assert.equal(models.length, 1)
  assert.match(await (await fetch(`${gateway.url}/metrics`)).text(), /unpriced_requests_total 1/)
  await gateway.admin('PUT', 'prices/mine%2Fsecret-model', { prices: [{ rates: { input: '1', output: '2' } }] })
  await gateway.admin('POST', 'usage/reprice', { upstream: 'mine', model: 'secret-model' })
  assert.notEqual((await gateway.usage('model'))[0]?.costUsd, '0')
})
