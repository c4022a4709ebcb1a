/**
 * The clouds through the whole product, over real sockets: a server that answers as Bedrock does (signed calls, its binary
 * stream), one that answers as Vertex AI and Azure do, and one that gives out credentials.
 */
import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Answer, runGateway, streamedText } from '../running/index.ts'
import { awsMessage, converseMessages } from '../upstream/aws-events.ts'

interface Got {
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}
type Replies = (got: Got, res: http.ServerResponse) => void

async function cloud(t: TestContext, replies: Replies): Promise<{ url: string; got: Got[] }> {
  const got: Got[] = []
  const server = http.createServer((req, res) => {
    let body = ''
    req.on('data', (piece) => {
      body += piece
    })
    req.on('end', () => {
      const one = { path: req.url ?? '', headers: req.headers, body }
      got.push(one)
      replies(one, res)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, got }
}

const json = (res: http.ServerResponse, body: unknown, status = 200, headers = {}): void => {
  res.writeHead(status, { 'content-type': 'application/json', ...headers })
  res.end(JSON.stringify(body))
}
const USAGE = { inputTokens: 9, outputTokens: 3, totalTokens: 12, cacheReadInputTokens: 100 }
const CONVERSE = [
  { messageStart: { role: 'assistant' } },
  { contentBlockDelta: { contentBlockIndex: 0, delta: { text: 'Hello ' }, p: 'abc' } },
  { contentBlockDelta: { contentBlockIndex: 0, delta: { text: 'there' } } },
  { contentBlockStop: { contentBlockIndex: 0 } },
  { messageStop: { stopReason: 'end_turn' } },
  { metadata: { usage: USAGE, metrics: { latencyMs: 3 } } },
].map((event) => JSON.stringify(event))
const binary = (res: http.ServerResponse, messages: readonly Buffer[]): void => {
  res.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream', 'x-amzn-requestid': 'aws-1' })
  for (const message of messages) res.write(message)
  res.end()
}
const NOVA = 'amazon.nova-pro-v1:0'
const CLAUDE = 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0'

const bedrock: Replies = ({ path, headers }, res) => {
  if (!/^AWS4-HMAC-SHA256 Credential=AKIA/.test(headers.authorization ?? ''))
    return json(res, { message: 'Missing Token' }, 403)
  if (path.endsWith('/converse')) {
    return json(res, {
      output: { message: { role: 'assistant', content: [{ text: 'Hello there' }] } },
      stopReason: 'end_turn',
      usage: USAGE,
    })
  }
  if (path.endsWith('/converse-stream')) return binary(res, converseMessages(CONVERSE))
  const message = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-4-5',
    content: [],
    stop_reason: null,
  }
  const events = [
    { type: 'message_start', message: { ...message, usage: { input_tokens: 7, output_tokens: 1 } } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Bonjour' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 4 } },
    { type: 'message_stop', 'amazon-bedrock-invocationMetrics': { inputTokenCount: 7 } },
  ]
  if (path.endsWith('/invoke-with-response-stream')) {
    const chunk = (event: object) => JSON.stringify({ bytes: Buffer.from(JSON.stringify(event)).toString('base64') })
    return binary(
      res,
      events.map((event) => awsMessage('event', 'chunk', chunk(event))),
    )
  }
  json(res, {
    ...message,
    content: [{ type: 'text', text: 'Bonjour' }],
    stop_reason: 'end_turn',
    usage: { input_tokens: 7, output_tokens: 4 },
  })
}

test('Bedrock: Converse and its binary stream reach an OpenAI client, and are booked at their price', async (t) => {
  const { url, got } = await cloud(t, bedrock)
  const gateway = await runGateway(t, { upstreams: {} })
  await gateway.admin('PUT', 'upstreams/aws', {
    provider: 'bedrock',
    baseUrl: url,
    options: { region: 'eu-central-1' },
    credentials: [{ id: 'main', secret: 'AKIAEXAMPLE:secret' }],
  })
  const whole = await gateway.chat(`aws/${NOVA}`, 'Hi')
  assert.equal(whole.status, 200, whole.text)
  assert.equal(whole.json.choices[0].message.content, 'Hello there')
  assert.equal(whole.json.usage.prompt_tokens_details.cached_tokens, 100)
  assert.equal(got[0]?.path, `/model/${encodeURIComponent(NOVA)}/converse`)
  assert.match(got[0]?.headers.authorization ?? '', /\/eu-central-1\/bedrock\/aws4_request/)
  assert.deepEqual(JSON.parse(got[0]?.body ?? ''), { messages: [{ role: 'user', content: [{ text: 'Hi' }] }] })
  // 9 input at 0.8, 100 read from the cache at 0.2, 3 output at 3.2 dollars per million.
  assert.equal(whole.headers['x-stockyard-cost-usd'], '0.0000368')

  const streamed = await gateway.chat(`aws/${NOVA}`, 'Hi', { stream: true, stream_options: { include_usage: true } })
  assert.equal(streamedText(streamed), 'Hello there')
  assert.equal(JSON.parse(streamed.data.at(-2) ?? '{}').usage.completion_tokens, 3)
  assert.equal(streamed.data.at(-1), '[DONE]')
  const [row] = await gateway.usage()
  assert.equal(String(row?.cost ?? row?.costUsd ?? row?.cost_usd), '0.0000736')
})

test("Bedrock: Anthropic's models are relayed to Anthropic's clients, event by event, and translated for others", async (t) => {
  const { url, got } = await cloud(t, bedrock)
  const gateway = await runGateway(t, { upstreams: {} })
  await gateway.admin('PUT', 'upstreams/aws', {
    provider: 'bedrock',
    baseUrl: url,
    options: { region: 'eu-central-1' },
    credentials: [{ id: 'main', secret: 'AKIAEXAMPLE:secret' }],
  })
  const ask = { model: `aws/${CLAUDE}`, max_tokens: 50, messages: [{ role: 'user', content: 'Hi' }], unknown_field: 1 }
  const headers = {
    'anthropic-version': '2023-06-01',
    'anthropic-beta': 'interleaved-thinking-2025-05-14,files-api-2025-04-14',
  }
  const streamed = await gateway.send('/v1/messages', { ...ask, stream: true }, headers)
  assert.equal(streamed.status, 200, streamed.text)
  assert.deepEqual(
    streamed.data.map((data) => JSON.parse(data).type),
    [
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ],
  )
  assert.match(streamed.text, /event: message_stop\n/)
  const sent = JSON.parse(got[0]?.body ?? '')
  // Nothing of the client's is lost, and what only names the call is gone.
  assert.deepEqual(sent, {
    max_tokens: 50,
    messages: ask.messages,
    unknown_field: 1,
    anthropic_version: 'bedrock-2023-05-31',
    anthropic_beta: ['interleaved-thinking-2025-05-14'],
  })
  assert.equal(got[0]?.path, `/model/${encodeURIComponent(CLAUDE)}/invoke-with-response-stream`)
  const whole = await gateway.chat(`aws/${CLAUDE}`, 'Hi')
  assert.equal(whole.json.choices[0].message.content, 'Bonjour')
  assert.deepEqual([whole.json.usage.prompt_tokens, whole.json.usage.completion_tokens], [7, 4])
})

test('Bedrock: an exception after content ends the stream as a failure, one before it goes elsewhere', async (t) => {
  let early = false
  const { url } = await cloud(t, (_got, res) => {
    const thrown = awsMessage('exception', 'modelStreamErrorException', '{"message":"the model broke, AKIASECRET:sh"}')
    binary(res, early ? [thrown] : [...converseMessages(CONVERSE.slice(0, 2)), thrown])
  })
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'upstreams/aws', {
    provider: 'bedrock',
    baseUrl: url,
    options: { region: 'eu-central-1' },
    credentials: [{ id: 'main', secret: 'AKIAEXAMPLE:secret' }],
  })
  const late = await gateway.chat(`aws/${NOVA}`, 'Hi', { stream: true })
  assert.equal(streamedText(late), 'Hello ')
  assert.match(late.data.at(-1) ?? '', /"error"/)
  assert.ok(!late.data.includes('[DONE]'))
  early = true
  await gateway.admin('PUT', 'routes/both', {
    targets: [
      { upstream: 'aws', model: NOVA },
      { upstream: 'openai', model: 'gpt-4o-mini' },
    ],
  })
  const saved = await gateway.chat('both', 'Hi', { stream: true })
  assert.equal(saved.status, 200, saved.text)
  assert.equal(saved.headers['x-stockyard-upstream'], 'openai')
})

test('A103: a token that expired under way is replaced once, and the client notices nothing', async (t) => {
  let issued = 0
  let valid = 'token-1'
  const login = await cloud(t, (_got, res) => json(res, { access_token: `token-${++issued}`, expires_in: 900 }))
  const { url, got } = await cloud(t, ({ headers }, res) => {
    if (headers.authorization !== `Bearer ${valid}`) {
      return json(
        res,
        { error: { code: '401', message: `Access denied: Bearer ${String(headers.authorization)} expired` } },
        401,
      )
    }
    json(res, {
      id: 'c',
      object: 'chat.completion',
      model: 'gpt-4o',
      choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
    })
  })
  const clock = t.mock.method(Date, 'now')
  const gateway = await runGateway(t, { upstreams: {}, environment: { AZURE_AUTHORITY_HOST: login.url } })
  await gateway.admin('PUT', 'upstreams/az', {
    provider: 'azure',
    baseUrl: url,
    options: { credentials: 'client-secret', tenant: 't', clientId: 'c', apiVersion: '2024-10-21' },
    credentials: [{ id: 'main', secret: 'app-secret' }],
  })
  const all = await Promise.all(Array.from({ length: 10 }, () => gateway.chat('az/my-deployment', 'Hi')))
  for (const { status, text } of all) assert.equal(status, 200, text)
  assert.equal(login.got.length, 1, 'one token for all')
  assert.equal(got[0]?.path, '/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21')

  const real = Date.now()
  clock.mock.mockImplementation(() => real + 60_000)
  valid = 'token-2'
  const before = got.length
  const again = await gateway.chat('az/my-deployment', 'Hi')
  assert.equal(again.status, 200, again.text)
  assert.deepEqual([login.got.length, got.length - before], [2, 2])
  assert.equal(again.headers['x-stockyard-attempts'], '1')

  // A credential that is refused although it is new is the vendor's last word: it fails once, and echoes nothing.
  valid = 'none'
  const refused: Answer = await gateway.chat('az/my-deployment', 'Hi')
  assert.equal(refused.status, 502, refused.text)
  assert.ok(!refused.text.includes('token-2'), refused.text)
  assert.equal(login.got.length, 2)
})

test('Vertex: each maker is reached in its own format, with the token of the machine', async (t) => {
  const metadata = await cloud(t, (_got, res) =>
    json(res, { access_token: 'ya29', expires_in: 3_600, token_type: 'Bearer' }),
  )
  const { url, got } = await cloud(t, ({ path }, res) => {
    if (path.includes(':rawPredict')) {
      return json(res, {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model: 'claude-sonnet-4-5',
        content: [{ type: 'text', text: 'from Claude' }],
        stop_reason: 'end_turn',
        usage: { input_tokens: 7, output_tokens: 4 },
      })
    }
    if (path.includes(':predict')) {
      return json(res, { predictions: [{ embeddings: { values: [0.5, 0.25], statistics: { token_count: 2 } } }] })
    }
    json(res, {
      candidates: [{ content: { role: 'model', parts: [{ text: 'from Gemini' }] }, finishReason: 'STOP' }],
      usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 2, totalTokenCount: 7 },
      modelVersion: 'gemini-2.5-flash',
    })
  })
  const gateway = await runGateway(t, {
    upstreams: {},
    environment: { GCE_METADATA_HOST: metadata.url.replace('http://', '') },
  })
  await gateway.admin('PUT', 'upstreams/gcp', {
    provider: 'vertex',
    baseUrl: url,
    options: { project: 'p', location: 'us-east5' },
  })
  const gemini = await gateway.chat('gcp/gemini-2.5-flash', 'Hi')
  assert.equal(gemini.json?.choices[0].message.content, 'from Gemini', gemini.text)
  const claude = await gateway.chat('gcp/claude-sonnet-4-5@20250929', 'Hi')
  assert.equal(claude.json?.choices[0].message.content, 'from Claude', claude.text)
  const vectors = await gateway.send('/v1/embeddings', { model: 'gcp/text-embedding-005', input: 'Hi' })
  assert.deepEqual(vectors.json?.data[0].embedding, [0.5, 0.25], vectors.text)
  const place = '/v1/projects/p/locations/us-east5/publishers'
  assert.deepEqual(
    got.map(({ path }) => path),
    [
      `${place}/google/models/gemini-2.5-flash:generateContent`,
      `${place}/anthropic/models/claude-sonnet-4-5@20250929:rawPredict`,
      `${place}/google/models/text-embedding-005:predict`,
    ],
  )
  for (const { headers } of got) assert.equal(headers.authorization, 'Bearer ya29')
  assert.equal(JSON.parse(got[1]?.body ?? '').anthropic_version, 'vertex-2023-10-16')
  assert.equal(metadata.got.length, 1)
})

test('options that a provider does not know, or that lead elsewhere, are refused when they are written', async (t) => {
  const gateway = await runGateway(t, { upstreams: {} })
  const put = (body: object) => gateway.admin('PUT', 'upstreams/x', body)
  await assert.rejects(put({ provider: 'bedrock', options: { regoin: 'eu-central-1' } }), /Did you mean \\"region\\"/)
  await assert.rejects(put({ provider: 'bedrock', options: {} }), /needs a baseUrl/)
  await assert.rejects(put({ provider: 'vertex', options: { project: 'p', location: 'evil.example/' } }), /location/)
  await assert.rejects(put({ provider: 'vertex' }), /project/)
})

test('Cohere, Voyage and Jina: chat, vectors and rankings for clients of other vendors', async (t) => {
  const chat = [
    { id: 'c1', type: 'message-start', delta: { message: { role: 'assistant' } } },
    { type: 'tool-plan-delta', delta: { message: { tool_plan: 'I will look.' } } },
    {
      type: 'tool-call-start',
      index: 0,
      delta: { message: { tool_calls: { id: 'look_1', type: 'function', function: { name: 'look', arguments: '' } } } },
    },
    {
      type: 'tool-call-delta',
      index: 0,
      delta: { message: { tool_calls: { function: { arguments: '{"at":"sea"}' } } } },
    },
    { type: 'tool-call-end', index: 0 },
    {
      type: 'message-end',
      delta: { finish_reason: 'TOOL_CALL', usage: { billed_units: { input_tokens: 10, output_tokens: 5 } } },
    },
  ]
  const ranking = [
    { index: 1, relevance_score: 0.9 },
    { index: 0, relevance_score: 0.2 },
  ]
  const { url, got } = await cloud(t, ({ path, body }, res) => {
    const asked = JSON.parse(body)
    if (path === '/v2/chat') {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      return res.end(chat.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(''))
    }
    if (path === '/v2/embed')
      return json(res, { id: 'e', embeddings: { float: [[0.5, 0.25]] }, meta: { billed_units: { input_tokens: 2 } } })
    if (path === '/v2/rerank')
      return json(res, { id: 'r', results: ranking, meta: { billed_units: { search_units: 1 } } })
    if (path === '/rerank' && asked.top_k !== undefined)
      return json(res, { object: 'list', data: ranking, model: 'rerank-2.5', usage: { total_tokens: 9 } })
    if (path === '/embeddings')
      return json(res, {
        object: 'list',
        data: [{ object: 'embedding', index: 0, embedding: [1, 0] }],
        model: asked.model,
        usage: { total_tokens: 3 },
      })
    json(res, { message: `nobody asked for ${path}` }, 400)
  })
  const gateway = await runGateway(t, { upstreams: {} })
  for (const provider of ['cohere', 'voyage', 'jina']) {
    await gateway.admin('PUT', `upstreams/${provider}`, {
      provider,
      baseUrl: url,
      credentials: [{ id: 'm', secret: `key-of-${provider}` }],
    })
  }
  const tools = [
    {
      type: 'function',
      function: { name: 'look', parameters: { type: 'object', properties: { at: { type: 'string' } } } },
    },
  ]
  const answer = await gateway.chat('cohere/command-a-03-2025', 'Look', {
    stream: true,
    tools,
    tool_choice: 'required',
  })
  assert.equal(answer.status, 200, answer.text)
  const deltas = answer.data.filter((data) => data !== '[DONE]').map((data) => JSON.parse(data).choices?.[0])
  assert.equal(deltas.map((c) => c?.delta?.tool_calls?.[0]?.function?.arguments ?? '').join(''), '{"at":"sea"}')
  assert.equal(deltas.findLast((c) => c?.finish_reason)?.finish_reason, 'tool_calls')
  assert.equal(got[0]?.headers.authorization, 'Bearer key-of-cohere')
  assert.equal(JSON.parse(got[0]?.body ?? '').tool_choice, 'REQUIRED')

  // OpenAI's SDK asks for base64 unless told otherwise (A68).
  const vectors = await gateway.send('/v1/embeddings', {
    model: 'cohere/embed-v4.0',
    input: 'Hi',
    encoding_format: 'base64',
    dimensions: 2,
  })
  assert.equal(vectors.status, 200, vectors.text)
  const bytes = Buffer.from(vectors.json.data[0].embedding, 'base64')
  assert.deepEqual([bytes.readFloatLE(0), bytes.readFloatLE(4)], [0.5, 0.25])
  assert.equal(JSON.parse(got.at(-1)?.body ?? '').output_dimension, 2)
  for (const upstream of ['voyage/voyage-3.5', 'jina/jina-embeddings-v4']) {
    const floats = await gateway.send('/v1/embeddings', { model: upstream, input: ['Hi'] })
    assert.deepEqual(floats.json?.data[0].embedding, [1, 0], floats.text)
    assert.equal(floats.json.usage.prompt_tokens, 3)
  }

  const ask = { query: 'sea?', documents: ['land', 'water'], top_n: 2 }
  for (const model of ['cohere/rerank-v3.5', 'voyage/rerank-2.5']) {
    const ranked = await gateway.send('/v1/rerank', { ...ask, model })
    assert.equal(ranked.status, 200, ranked.text)
    assert.deepEqual(ranked.json.results[0], { index: 1, relevance_score: 0.9, document: { text: 'water' } })
  }
  const cohere = await gateway.send('/v2/rerank', { ...ask, model: 'cohere/rerank-v3.5' })
  assert.deepEqual(cohere.json?.results, ranking, cohere.text)
  const bad = await gateway.send('/v1/rerank', { model: 'cohere/rerank-v3.5', query: 'x', documents: 'no list' })
  assert.equal(bad.status, 400)
  assert.match(bad.json.detail, /documents/)
})
