/** Clients of Anthropic's and Google's own APIs over real sockets: every upstream, streamed and not, and their errors. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, exchange, type Running, runGateway, until } from '../running/index.ts'
import { assertStream } from '../streams/index.ts'

const upstreams = { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' }
const MODELS = ['openai/gpt-4o-mini', 'anthropic/claude-sonnet-4-5', 'gemini/gemini-2.5-flash']

const message = (gateway: Running, model: string, text: string, more: object = {}): Promise<Answer> =>
  gateway.send('/v1/messages', { model, max_tokens: 64, messages: [{ role: 'user', content: text }], ...more })

const generate = (gateway: Running, call: string, text: string, more: object = {}): Promise<Answer> =>
  gateway.send(`/v1beta/models/${call}`, { contents: [{ role: 'user', parts: [{ text }] }], ...more })

const partsOf = (responses: readonly { candidates?: { content: { parts: { text?: string }[] } }[] }[]): string =>
  responses.flatMap((r) => r.candidates?.[0]?.content.parts.map((p) => p.text ?? '') ?? []).join('')

test('a client of the Messages API reaches every upstream, streamed and not', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  for (const model of MODELS) {
    const whole = await message(gateway, model, 'hello')
    assert.equal(whole.status, 200, whole.text)
    assert.deepEqual(
      [whole.json.type, whole.json.content, whole.json.stop_reason],
      ['message', [{ type: 'text', text: 'echo: hello' }], 'end_turn'],
    )
    assert.ok(whole.json.usage.output_tokens > 0)
    const streamed = await message(gateway, model, 'hello', { stream: true })
    assertStream('anthropic-messages', streamed.text)
    const events = streamed.data.map((data) => JSON.parse(data))
    assert.equal(events[0].type, 'message_start')
    assert.equal(events.at(-1).type, 'message_stop')
    assert.equal(events.map((e) => e.delta?.text ?? '').join(''), 'echo: hello')
    assert.ok(streamed.headers['request-id'], 'SDKs look for the request id here')
  }
})

test('a client of generateContent reaches every upstream: whole, as SSE, and as a JSON array', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  for (const model of MODELS) {
    const whole = await generate(gateway, `${model}:generateContent`, 'hello')
    assert.equal(whole.status, 200, whole.text)
    assert.equal(partsOf([whole.json]), 'echo: hello')
    assert.equal(whole.json.candidates[0].finishReason, 'STOP')
    const sse = await generate(gateway, `${model}:streamGenerateContent?alt=sse`, 'hello')
    assert.match(String(sse.headers['content-type']), /event-stream/)
    assertStream('gemini-generate', sse.text)
    assert.equal(partsOf(sse.data.map((data) => JSON.parse(data))), 'echo: hello')
    const array = await generate(gateway, `${model}:streamGenerateContent`, 'hello')
    assert.equal(array.headers['content-type'], 'application/json')
    assert.equal(partsOf(array.json), 'echo: hello')
    assert.equal(array.json.at(-1).candidates[0].finishReason, 'STOP')
  }
})

test('a client of the Responses API reaches every upstream, streamed and not, with tools and thinking', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const tools = [{ type: 'function', name: 'weather', parameters: { type: 'object', properties: {} }, strict: false }]
  for (const model of MODELS) {
    const ask = (more: object) => gateway.send('/v1/responses', { model, input: 'hello', ...more })
    const whole = await ask({})
    assert.equal(whole.status, 200, whole.text)
    assert.equal(whole.json.output.at(-1).content[0].text, 'echo: hello')
    assert.equal(whole.json.usage.output_tokens_details.reasoning_tokens, 0)
    const streamed = await ask({ stream: true })
    assertStream('openai-responses', streamed.text)
    const events = streamed.data.map((data) => JSON.parse(data))
    assert.deepEqual([events[0].type, events.at(-1).type], ['response.created', 'response.completed'])
    assert.deepEqual(
      events.map((e) => e.sequence_number),
      events.map((_, i) => i),
    )
    const called = await ask({
      input: 'call:weather{"city":"Graz"}',
      tools,
      reasoning: { effort: 'low', summary: 'auto' },
    })
    const call = called.json.output.find((item: { type: string }) => item.type === 'function_call')
    assert.deepEqual([call.name, JSON.parse(call.arguments)], ['weather', { city: 'Graz' }])
    const input = [
      { role: 'user', content: 'call:weather{"city":"Graz"}' },
      ...called.json.output,
      { type: 'function_call_output', call_id: call.call_id, output: '12 degrees' },
    ]
    const second = await ask({ input, tools })
    assert.equal(second.status, 200, second.text)
  }
})

test('A59: free-form and namespaced tools of a Responses client work at every upstream', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const schema = { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] }
  const tools = [
    { type: 'custom', name: 'apply_patch', description: 'Changes files.', format: { type: 'text' } },
    {
      type: 'namespace',
      name: 'files',
      description: 'Files.',
      tools: [{ type: 'function', name: 'read', parameters: schema }],
    },
  ]
  for (const model of MODELS.slice(1)) {
    for (const stream of [false, true]) {
      const ask = async (input: string) => {
        const answer = await gateway.send('/v1/responses', { model, input, tools, stream })
        assert.equal(answer.status, 200, answer.text)
        const response = stream ? JSON.parse(answer.data.at(-1) ?? '').response : answer.json
        return response.output.find((item: { type: string }) => item.type.endsWith('_call'))
      }
      const patch = await ask('call:apply_patch{"input":"*** Begin"}')
      assert.deepEqual([patch.type, patch.name, patch.input], ['custom_tool_call', 'apply_patch', '*** Begin'])
      const read = await ask('call:files__read{"path":"a.ts"}')
      assert.deepEqual([read.type, read.namespace, read.name], ['function_call', 'files', 'read'])
    }
  }
})

test('A61: what an upstream of the Responses API keeps is asked of no other', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const [openai, anthropic] = MODELS
  const made = await gateway.send('/v1/responses', { model: openai, input: 'hello' })
  const follow = { input: 'and?', previous_response_id: made.json.id }
  assert.equal((await gateway.send('/v1/responses', { model: openai, ...follow })).status, 200)
  const before = gateway.upstream.ledger.rows.length
  const refused = await gateway.send('/v1/responses', { model: anthropic, ...follow })
  assert.deepEqual([refused.status, refused.json.error.param], [400, 'model'], refused.text)
  const background = await gateway.send('/v1/responses', { model: anthropic, input: 'x', background: true })
  assert.deepEqual([background.status, background.json.error.param], [400, 'background'], background.text)
  assert.equal(gateway.upstream.ledger.rows.length, before)
})

test('A64: the input of a request is counted in every dialect, by the vendor or by us', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const text = 'one two three four five six seven eight nine ten'
  for (const model of MODELS) {
    const anthropic = await gateway.send('/v1/messages/count_tokens', {
      model,
      messages: [{ role: 'user', content: text }],
    })
    assert.equal(anthropic.status, 200, anthropic.text)
    assert.ok(anthropic.json.input_tokens >= 8, anthropic.text)
    const openai = await gateway.send('/v1/responses/input_tokens', { model, input: text })
    assert.equal(openai.json.object, 'response.input_tokens', openai.text)
    assert.ok(openai.json.input_tokens >= 8)
    const contents = [{ role: 'user', parts: [{ text }] }]
    const google = await gateway.send(`/v1beta/models/${model}:countTokens`, { contents })
    assert.ok(google.json.totalTokens >= 8, google.text)
    const whole = { generateContentRequest: { contents, systemInstruction: { parts: [{ text }] } } }
    const more = await gateway.send(`/v1beta/models/${model}:countTokens`, whole)
    assert.ok(more.json.totalTokens > google.json.totalTokens, more.text)
  }
  const results = [
    { role: 'user', content: 'go' },
    { role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'f', input: {} }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: 'word '.repeat(500) }] },
  ]
  const tools = [{ name: 'f', input_schema: { type: 'object' } }]
  const [model] = MODELS
  const counted = await gateway.send('/v1/messages/count_tokens', { model, messages: results, tools })
  assert.ok(counted.json.input_tokens > 400, `tool results count: ${counted.text}`)
  assert.equal((await gateway.send('/v1/messages/count_tokens', { model, messages: 'x' })).status, 400)
  assert.equal((await gateway.send('/v1/messages/count_tokens', { model: 'no-such', messages: [] })).json.type, 'error')
  const ledger = await gateway.usage()
  assert.deepEqual(ledger, [], 'counting is no call')
})

test("embeddings in Google's shape, one and many, of every upstream that makes them", async (t) => {
  const gateway = await runGateway(t, { upstreams })
  for (const model of ['openai/text-embedding-3-small', 'gemini/gemini-embedding-001']) {
    const content = { parts: [{ text: 'hello' }] }
    const one = await gateway.send(`/v1beta/models/${model}:embedContent`, { content, outputDimensionality: 16 })
    assert.equal(one.json?.embedding?.values.length, 16, one.text)
    const requests = ['hello', 'there'].map((text) => ({ model: `models/${model}`, content: { parts: [{ text }] } }))
    const many = await gateway.send(`/v1beta/models/${model}:batchEmbedContents`, { requests })
    assert.equal(many.json?.embeddings?.length, 2, many.text)
  }
  const refused = await gateway.send('/v1beta/models/gemini/gemini-embedding-001:embedContent', { content: {} })
  assert.equal(refused.json.error.code, 400)
})

test("A61: a stored response is its maker's, and a follow-up goes where it is", async (t) => {
  const gateway = await runGateway(t, { upstreams: { first: 'openai', second: 'openai' } })
  await gateway.admin('PUT', 'routes/both', {
    targets: [
      { upstream: 'first', model: 'gpt-4o-mini' },
      { upstream: 'second', model: 'gpt-4o-mini' },
    ],
  })
  const made = await gateway.send('/v1/responses', { model: 'second/gpt-4o-mini', input: 'one' })
  const follow = { input: 'two', previous_response_id: made.json.id }
  const followed = await gateway.send('/v1/responses', { model: 'both', ...follow })
  assert.equal(followed.status, 200, followed.text)
  assert.equal(followed.headers['x-stockyard-upstream'], 'second')
  const streamed = await gateway.send('/v1/responses', { model: 'first/gpt-4o-mini', input: 'three', stream: true })
  const { id } = JSON.parse(streamed.data[0] ?? '').response
  const after = { model: 'both', input: 'four', previous_response_id: id }
  assert.equal((await gateway.send('/v1/responses', after)).headers['x-stockyard-upstream'], 'first')
  await gateway.restart()
  assert.equal((await gateway.send('/v1/responses', after)).headers['x-stockyard-upstream'], 'first')
  const before = gateway.upstream.ledger.rows.length
  const foreign = await gateway.send('/v1/responses', { ...after, previous_response_id: 'resp_of_nobody' })
  assert.equal(foreign.status, 404, foreign.text)
  await gateway.admin('DELETE', 'upstreams/first')
  const gone = await gateway.send('/v1/responses', after)
  assert.ok(gone.status >= 400 && gone.json.error.message, gone.text)
  assert.equal(gateway.upstream.ledger.rows.length, before)
  const kept = await gateway.send('/v1/responses', { model: 'second/gpt-4o-mini', input: 'x', store: false })
  assert.equal((await gateway.send('/v1/responses', { ...after, previous_response_id: kept.json.id })).status, 404)
})

test('A67: what a model is known to refuse is renamed, left out and told, or refused as the route says', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const sent = () => JSON.parse(gateway.upstream.ledger.rows.at(-1)?.rawBody ?? '{}')
  const sampled = { temperature: 0.5, max_tokens: 50 }
  for (const [path, body] of [
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }], ...sampled }],
    ['/v1/messages', { messages: [{ role: 'user', content: 'x' }], ...sampled }],
    ['/v1/responses', { input: 'x', temperature: 0.5, max_output_tokens: 50 }],
  ] as const) {
    const lenient = await gateway.send(path, { model: 'openai/gpt-5', ...body })
    assert.equal(lenient.status, 200, lenient.text)
    assert.equal(lenient.headers['x-stockyard-unsupported'], 'temperature', path)
    assert.equal(sent().temperature, undefined)
    assert.equal(sent().max_completion_tokens ?? sent().max_output_tokens, 50)
    assert.equal(sent().max_tokens, undefined)
    const plain = await gateway.send(path, { model: 'openai/gpt-4o-mini', ...body })
    assert.equal(plain.headers['x-stockyard-unsupported'], undefined)
    assert.equal(sent().temperature, 0.5)
  }
  const target = { upstream: 'openai', model: 'gpt-5' }
  await gateway.admin('PUT', 'routes/strict', { targets: [target], unsupported: 'reject' })
  const before = gateway.upstream.ledger.rows.length
  const strict = await gateway.chat('strict', 'x', { temperature: 0.5 })
  assert.equal(strict.status, 400)
  assert.match(strict.json.error.message, /temperature/)
  assert.equal(gateway.upstream.ledger.rows.length, before)
  assert.equal((await gateway.chat('strict', 'x', { temperature: 1 })).status, 200)
})

test('A60: a WebSocket upgrade is answered 426 at once', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const upgrade = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-key': 'x',
    'sec-websocket-version': '13',
  }
  const answer = await exchange(`${gateway.url}/v1/responses`, 'GET', undefined, upgrade)
  assert.deepEqual([answer.status, answer.json.error.code], [426, 'upgrade_refused'])
})

test('A63: a tool name that is too long or spelled otherwise comes back as the client knows it, everywhere', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const parameters = { type: 'object', properties: {} }
  for (const name of ['mcp.server:tool/with spaces', `mcp__${'x'.repeat(120)}`, '9lives']) {
    for (const model of MODELS) {
      for (const stream of [false, true]) {
        const ask = { model, stream, messages: [{ role: 'user', content: 'go' }] }
        const tools = [{ type: 'function', function: { name, parameters } }]
        const other = model === MODELS[0] ? 'anthropic' : 'openai'
        const answer =
          other === 'openai'
            ? await gateway.send('/v1/chat/completions', { ...ask, tools, tool_choice: 'required' })
            : await gateway.send('/v1/messages', {
                ...ask,
                max_tokens: 99,
                tools: [{ name, input_schema: parameters }],
                tool_choice: { type: 'any' },
              })
        assert.equal(answer.status, 200, answer.text)
        assert.ok(answer.text.includes(JSON.stringify(name)), `${model}: ${answer.text}`)
        const sent = JSON.parse(gateway.upstream.ledger.rows.at(-1)?.rawBody ?? '')
        const declared =
          sent.tools[0].function?.name ?? sent.tools[0].functionDeclarations?.[0].name ?? sent.tools[0].name
        assert.match(declared, /^[A-Za-z_9][A-Za-z0-9_.:-]{0,127}$/)
      }
    }
  }
})

test("A70: a body in the upstream's own dialect passes byte by byte; the path alone names a Gemini model", async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const odd = '{ "contents":[{"role":"user","parts":[{"text":"caf\\u00e9"}]}],  "labels" : {"a":"b"} }'
  const answer = await gateway.send('/v1beta/models/gemini/gemini-2.5-flash:generateContent', odd)
  assert.equal(answer.status, 200, answer.text)
  assert.equal(gateway.upstream.ledger.rows.at(-1)?.rawBody, odd)
  const typed =
    '{"model":"anthropic/claude-sonnet-4-5","max_tokens":9, "messages":[{"role":"user","content":"caf\\u00e9"}]}'
  await gateway.send('/v1/messages', typed)
  assert.equal(gateway.upstream.ledger.rows.at(-1)?.rawBody, typed.replace('anthropic/', ''))
})

test('an output limit of a client of any dialect bounds what the ledger holds', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const limited = await generate(gateway, 'openai/gpt-4o-mini:generateContent', 'one two three four five six', {
    generationConfig: { maxOutputTokens: 2 },
  })
  assert.equal(limited.json.candidates[0].finishReason, 'MAX_TOKENS')
  assert.equal(JSON.parse(gateway.upstream.ledger.rows.at(-1)?.rawBody ?? '').max_completion_tokens, 2)
})

test('mistakes are told in the dialect of the client, and nothing goes upstream', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const asAnthropic = async (status: number, answer: Promise<Answer>): Promise<void> => {
    const { status: was, json, text } = await answer
    assert.equal(was, status, text)
    assert.equal(json.type, 'error')
    assert.ok(json.error.type && json.error.message && json.request_id, text)
  }
  const asGoogle = async (status: number, answer: Promise<Answer>): Promise<void> => {
    const { status: was, json, text } = await answer
    assert.equal(was, status, text)
    assert.equal(json.error.code, status)
    assert.ok(json.error.status && json.error.message, text)
  }
  const [model] = MODELS as [string]
  await asAnthropic(400, gateway.send('/v1/messages', '{"model": '))
  await asAnthropic(400, gateway.send('/v1/messages', { messages: [] }))
  await asAnthropic(400, gateway.send('/v1/messages', { model, max_tokens: '9', messages: [] }))
  await asAnthropic(400, message(gateway, model, '', { messages: [{ role: 'robot', content: 'x' }] }))
  await asAnthropic(404, message(gateway, 'no-such-model', 'x'))
  await asAnthropic(405, exchange(`${gateway.url}/v1/messages`, 'GET'))
  await asAnthropic(415, gateway.send('/v1/messages', 'x', { 'content-type': 'text/plain' }))
  await asAnthropic(404, exchange(`${gateway.url}/v1/models/nope`, 'GET', undefined, { 'anthropic-version': '1' }))
  await asGoogle(400, gateway.send(`/v1beta/models/${model}:generateContent`, '[]'))
  await asGoogle(400, gateway.send(`/v1beta/models/${model}:generateContent`, { contents: 'hello' }))
  await asGoogle(400, gateway.send(`/v1beta/models/${model}:streamGenerateContent`, {}))
  await asGoogle(404, generate(gateway, 'no-such-model:generateContent', 'x'))
  await asGoogle(404, generate(gateway, `${model}:teleport`, 'x'))
  await asGoogle(405, generate(gateway, model, 'x'))
  await asGoogle(400, generate(gateway, 'a%0Ab:generateContent', 'x'))
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('A44: a stream that fails after content says so in the dialect of the client, and looks like no finish', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  for (const model of MODELS) {
    const failing = `${model}+chunks=6+pace=10+truncate=4`
    const said = await message(gateway, failing, 'tell me', { stream: true })
    assert.match(said.text, /event: error\ndata: \{"type":"error"/)
    assert.ok(!said.text.includes('message_stop'), said.text)
    assertStream('anthropic-messages', said.text)
    const sse = await generate(gateway, `${failing}:streamGenerateContent?alt=sse`, 'tell me')
    assert.ok(JSON.parse(sse.data.at(-1) ?? '').error.code >= 500)
    assert.ok(!sse.text.includes('finishReason'), sse.text)
    const response = await gateway.send('/v1/responses', {
      model: `${model}+chunks=9+pace=10+truncate=7`,
      input: 'tell me',
      stream: true,
    })
    assert.deepEqual(
      response.data.slice(-2).map((data) => JSON.parse(data).type),
      ['error', 'response.failed'],
    )
    assert.ok(!response.text.includes('response.completed'), response.text)
    const array = await generate(gateway, `${failing}:streamGenerateContent`, 'tell me')
    assert.ok(array.json.at(-1).error.code >= 500, array.text)
  }
})

test('A65: the list of models comes in the shape of the client, page by page', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const get = (path: string, headers = {}) => exchange(gateway.url + path, 'GET', undefined, headers)
  const openai = (await get('/v1/models')).json
  assert.equal(openai.object, 'list')
  const ids: string[] = openai.data.map((m: { id: string }) => m.id)
  const version = { 'anthropic-version': '2023-06-01' }
  const first = (await get('/v1/models?limit=3', version)).json
  assert.deepEqual(
    [first.data.map((m: { id: string }) => m.id), first.has_more, first.first_id, first.last_id],
    [ids.slice(0, 3), true, ids[0], ids[2]],
  )
  assert.equal(first.data[0].type, 'model')
  const second = (await get(`/v1/models?limit=3&after_id=${encodeURIComponent(ids[2] ?? '')}`, version)).json
  assert.deepEqual(
    second.data.map((m: { id: string }) => m.id),
    ids.slice(3, 6),
  )
  const back = (await get(`/v1/models?limit=3&before_id=${encodeURIComponent(ids[3] ?? '')}`, version)).json
  assert.deepEqual([back.first_id, back.last_id, back.has_more], [ids[0], ids[2], false])
  const google = (await get('/v1beta/models?pageSize=3')).json
  assert.deepEqual(
    google.models.map((m: { name: string }) => m.name),
    ids.slice(0, 3).map((id) => `models/${id}`),
  )
  const next = (await get(`/v1beta/models?pageSize=3&pageToken=${google.nextPageToken}`)).json
  assert.equal(next.models[0].name, `models/${ids[3]}`)
  const one = (await get('/v1beta/models/gemini/gemini-2.5-flash')).json
  assert.equal(one.name, 'models/gemini/gemini-2.5-flash')
  assert.equal((await get('/v1/models?limit=0', version)).status, 400)
})

test('a key is taken where the SDK of any dialect puts it, and one in the query is kept out of logs', async (t) => {
  const gateway = await runGateway(t, { upstreams, environment: { STOCKYARD_PROXY_KEY: 'a-proxy-key-for-tests' } })
  await gateway.chat('openai/gpt-4o-mini', 'x', {}, { 'x-forwarded-for': '1.2.3.4' })
  const body = { model: MODELS[0], max_tokens: 9, messages: [{ role: 'user', content: 'x' }] }
  const key = 'a-proxy-key-for-tests'
  assert.equal((await gateway.send('/v1/messages', body)).status, 401)
  for (const headers of [{ authorization: `Bearer ${key}` }, { 'x-api-key': key }, { 'api-key': key }] as const) {
    assert.equal((await gateway.send('/v1/messages', body, headers as Record<string, string>)).status, 200)
  }
  const contents = { contents: [{ role: 'user', parts: [{ text: 'x' }] }] }
  const path = `/v1beta/models/${MODELS[0]}:streamGenerateContent`
  assert.equal((await gateway.send(path, contents, { 'x-goog-api-key': key })).status, 200)
  assert.equal((await gateway.send(`${path}?key=wrong`, contents)).status, 401)
  const asked = await gateway.send(`${path}?key=${key}&alt=sse`, contents)
  assert.match(String(asked.headers['content-type']), /event-stream/)
  let logs = ''
  await until(async () => {
    logs = JSON.stringify(await gateway.admin('GET', 'logs'))
    return logs.includes('streamGenerateContent')
  }, 'it is logged')
  assert.ok(!logs.includes(key))
  assert.ok(!JSON.stringify(gateway.upstream.ledger.rows).includes(key))
})
