/**
 * Guardrails that are checked elsewhere, against stand-ins that hold each request against the vendor's documented format:
 * what is asked, what its verdict does, streamed and not, and what happens when there is none.
 */
import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { awsSignature } from '../../src/wire/aws/signature.ts'
import { type Running, runGateway, streamedText, until } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'
const SECRET = 'AKIDEXAMPLE:secret-of-this-test'

interface Call {
  readonly method: string
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  // biome-ignore lint/suspicious/noExplicitAny: the formats of many vendors
  readonly json: any
}
type Said = { status?: number; body: unknown } | 'nothing'

/** A vendor: throws what is wrong with a request into its answer, so that the test sees it. */
async function vendor(t: TestContext, answer: (call: Call) => Said | Promise<Said>) {
  const calls: Call[] = []
  const server = http.createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = Buffer.concat(parts).toString('utf8')
    const { method = '', url: path = '', headers } = request
    const call = { method, path, headers, body, json: JSON.parse(body) }
    calls.push(call)
    const said = await answer(call)
    if (said === 'nothing') return
    response.writeHead(said.status ?? 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(said.body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls }
}

const set = (gateway: Running, ...rules: readonly object[]) =>
  gateway.admin('PUT', 'modules/guardrails', { mode: 'enforce', settings: { rules } })
const secret = (gateway: Running, name: string, value: string) =>
  gateway.admin('PUT', `modules/guardrails/secrets/${name}`, { secret: value })
const bad = (texts: readonly string[]): boolean => texts.some((text) => text.includes('awful'))

interface Vendor {
  readonly type: string
  settings(url: string): object
  prepare(gateway: Running, url: string): Promise<unknown>
  /** Checks the request against the format, and judges it. */
  answer(call: Call): Promise<Said> | Said
  /** What the refusal says. */
  readonly reason: RegExp
}

const VENDORS: readonly Vendor[] = [
  {
    type: 'openai-moderation',
    settings: () => ({ upstream: 'checker' }),
    prepare: (gateway, url) =>
      gateway.admin('PUT', 'upstreams/checker', {
        provider: 'openai',
        baseUrl: `${url}/v1`,
        credentials: [{ id: 'main', secret: 'sk-of-the-checker' }],
      }),
    answer({ method, path, headers, json }) {
      assert.deepEqual([method, path], ['POST', '/v1/moderations'])
      assert.equal(headers.authorization, 'Bearer sk-of-the-checker')
      assert.deepEqual(Object.keys(json).sort(), ['input', 'model'])
      assert.equal(json.model, 'omni-moderation-latest')
      const results = (json.input as string[]).map((text) => ({
        flagged: bad([text]),
        categories: { violence: bad([text]), hate: false },
        category_scores: { violence: bad([text]) ? 0.98 : 0.01, hate: 0.001 },
        category_applied_input_types: { violence: ['text'], hate: ['text'] },
      }))
      return { body: { id: 'modr-1', model: 'omni-moderation-latest', results } }
    },
    reason: /violence/,
  },
  {
    type: 'azure-content-safety',
    settings: (url) => ({ url }),
    prepare: (gateway) => secret(gateway, 'it', 'key-of-the-resource'),
    answer({ method, path, headers, json }) {
      assert.deepEqual([method, path], ['POST', '/contentsafety/text:analyze?api-version=2024-09-01'])
      assert.equal(headers['ocp-apim-subscription-key'], 'key-of-the-resource')
      assert.ok(typeof json.text === 'string' && json.text.length <= 10_000)
      assert.deepEqual(json.categories, ['Hate', 'SelfHarm', 'Sexual', 'Violence'])
      assert.equal(json.outputType, 'FourSeverityLevels')
      const categoriesAnalysis = (json.categories as string[]).map((category) => ({
        category,
        severity: category === 'Violence' && bad([json.text]) ? 6 : 0,
      }))
      return { body: { blocklistsMatch: [], categoriesAnalysis } }
    },
    reason: /Violence 6/,
  },
  {
    type: 'bedrock-guardrails',
    settings: () => ({ upstream: 'checker', guardrail: 'gr12ab', version: '3' }),
    prepare: (gateway, url) =>
      gateway.admin('PUT', 'upstreams/checker', {
        provider: 'bedrock',
        baseUrl: url,
        options: { region: 'eu-central-1', credentials: 'keys' },
        credentials: [{ id: 'main', secret: SECRET }],
      }),
    async answer({ method, path, headers, body, json }) {
      assert.deepEqual([method, path], ['POST', '/guardrail/gr12ab/version/3/apply'])
      await signedRight(path, headers, body)
      assert.ok(json.source === 'INPUT' || json.source === 'OUTPUT')
      const texts = (json.content as { text: { text: string } }[]).map(({ text }) => text.text)
      if (!bad(texts)) return { body: { usage: {}, action: 'NONE', outputs: [], assessments: [] } }
      const filters = [
        { type: 'VIOLENCE', confidence: 'HIGH', filterStrength: 'HIGH', action: 'BLOCKED', detected: true },
      ]
      return {
        body: {
          usage: { contentPolicyUnits: 1 },
          action: 'GUARDRAIL_INTERVENED',
          outputs: [{ text: 'Sorry, no.' }],
          assessments: [{ contentPolicy: { filters }, invocationMetrics: { guardrailProcessingLatency: 1 } }],
        },
      }
    },
    reason: /VIOLENCE/,
  },
  {
    type: 'lakera',
    settings: (url) => ({ url, project: 'project-1' }),
    prepare: (gateway) => secret(gateway, 'it', 'lakera-key'),
    answer({ method, path, headers, json }) {
      assert.deepEqual([method, path], ['POST', '/v2/guard'])
      assert.equal(headers.authorization, 'Bearer lakera-key')
      assert.equal(json.project_id, 'project-1')
      const messages = json.messages as { role: string; content: string }[]
      assert.ok(messages.every(({ role, content }) => /^(?:user|assistant)$/.test(role) && typeof content === 'string'))
      const flagged = bad(messages.map(({ content }) => content))
      const breakdown = [{ detector_type: 'moderated_content/violence', detected: flagged, message_id: 0 }]
      return { body: { flagged, breakdown, payload: [], metadata: { request_uuid: 'x' } } }
    },
    reason: /moderated_content/,
  },
]

/** The signature is AWS's own over the same call. */
async function signedRight(path: string, headers: http.IncomingHttpHeaders, body: string): Promise<void> {
  const [accessKeyId = '', secretAccessKey = ''] = SECRET.split(':')
  const signed = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? '')?.[1]?.split(';') ?? []
  const own = Object.fromEntries(
    signed.filter((name) => name !== 'host' && !name.startsWith('x-amz-')).map((name) => [name, String(headers[name])]),
  )
  const date = String(headers['x-amz-date'])
  const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  const expected = await awsSignature(
    { method: 'POST', url: `http://${headers.host}${path}`, headers: own, body: [Buffer.from(body)] },
    { accessKeyId, secretAccessKey },
    { region: 'eu-central-1', service: 'bedrock' },
    at,
  )
  assert.equal(headers.authorization, expected.authorization)
}

for (const { type, settings, prepare, answer, reason } of VENDORS) {
  test(`${type}: asked in its own format, obeyed both ways, streamed and not; without an answer open goes on and closed refuses`, async (t) => {
    let mood: 'judging' | 'broken' | 'silent' = 'judging'
    const problems: unknown[] = []
    const { url, calls } = await vendor(t, async (call) => {
      if (mood === 'silent') return 'nothing'
      if (mood === 'broken') return { status: 500, body: { error: 'no' } }
      try {
        return await answer(call)
      } catch (problem) {
        problems.push(problem)
        return { status: 400, body: {} }
      }
    })
    const gateway = await runGateway(t)
    await prepare(gateway, url)
    const rule = { id: 'it', type, ...settings(url), timeoutMs: 10_000 }
    for (const on of ['request', 'reply'] as const) {
      await set(gateway, { ...rule, on })
      for (const stream of [false, true]) {
        const fine = await gateway.chat(MODEL, 'a nice day', { stream })
        assert.deepEqual(problems, [])
        assert.equal(fine.status, 200, fine.text)
        const before = gateway.upstream.ledger.rows.length
        const refused = await gateway.chat(MODEL, 'an awful day', { stream })
        assert.match(refused.text, /guardrail_blocked/, `${on} ${stream}`)
        assert.match(refused.text, reason)
        if (on === 'request') assert.equal(gateway.upstream.ledger.rows.length, before)
        else if (stream) assert.match(refused.text, /"content_filter"/)
      }
    }
    await set(gateway, { ...rule, on: 'request', mode: 'observe' })
    assert.equal((await gateway.chat(MODEL, 'an awful day')).status, 200, 'observed only')
    mood = 'broken'
    await set(gateway, { ...rule, on: 'request' })
    assert.equal((await gateway.chat(MODEL, 'a nice day')).status, 503)
    await set(gateway, { ...rule, on: 'request', fail: 'open' })
    assert.equal((await gateway.chat(MODEL, 'a nice day')).status, 200)
    mood = 'silent'
    await set(gateway, { ...rule, on: 'request', fail: 'open', timeoutMs: 100 })
    assert.equal((await gateway.chat(MODEL, 'a nice day')).status, 200)
    await set(gateway, { ...rule, on: 'request', timeoutMs: 100 })
    assert.equal((await gateway.chat(MODEL, 'a nice day')).status, 503)
    const asked = calls.length
    await set(gateway, { ...rule, on: 'request', timing: 'async', timeoutMs: 60_000 })
    assert.equal((await gateway.chat(MODEL, 'an awful day')).status, 200, 'nobody waits for what is async')
    await until(() => calls.length === asked + 1, 'it is asked all the same')
  })
}

test('what only masks: the masked texts go upstream where the rule redacts, else the request is refused', async (t) => {
  const { url } = await vendor(t, ({ path, json }) => {
    if (path.startsWith('/v2')) {
      const payload = [{ start: 8, end: 12, text: 'Jane', detector_type: 'pii/name', labels: [], message_id: 0 }]
      return {
        body: { flagged: true, payload, breakdown: [{ detector_type: 'pii/name', detected: true, message_id: 0 }] },
      }
    }
    const outputs = (json.content as { text: { text: string } }[]).map(({ text }) => ({
      text: text.text.replace('Jane', '{NAME}'),
    }))
    const piiEntities = [{ match: 'Jane', type: 'NAME', action: 'ANONYMIZED', detected: true }]
    return {
      body: { action: 'GUARDRAIL_INTERVENED', outputs, assessments: [{ sensitiveInformationPolicy: { piiEntities } }] },
    }
  })
  const gateway = await runGateway(t)
  await VENDORS[2]?.prepare(gateway, url)
  await secret(gateway, 'it', 'key')
  const bedrock = { id: 'it', type: 'bedrock-guardrails', on: 'request', upstream: 'checker', guardrail: 'g' }
  for (const [rule, masked] of [
    [bedrock, 'My name {NAME}'],
    [{ id: 'it', type: 'lakera', on: 'request', url }, 'My name [REDACTED]'],
  ] as const) {
    await set(gateway, { ...rule, action: 'redact' })
    assert.equal((await gateway.chat(MODEL, 'My name Jane')).json.choices[0].message.content, `echo: ${masked}`)
    await set(gateway, rule)
    assert.equal((await gateway.chat(MODEL, 'My name Jane')).json.error.code, 'guardrail_blocked')
  }
})

test('a judge is asked through a route, booked under the module, and not guarded by itself', async (t) => {
  const gateway = await runGateway(t)
  const judge = { id: 'it', type: 'judge', policy: 'No talk of EMP.', fail: 'closed' }
  const says = (violates: boolean) => ({
    ...judge,
    model: `openai/gpt-4o+text=${encodeURIComponent(JSON.stringify({ violates }))}`,
  })
  for (const on of ['request', 'reply']) {
    for (const stream of [false, true]) {
      await set(gateway, { ...says(false), on })
      const fine = await gateway.chat(MODEL, 'hello', { stream })
      assert.equal(stream ? streamedText(fine) : fine.json.choices[0].message.content, 'echo: hello')
      await set(gateway, { ...says(true), on })
      assert.match((await gateway.chat(MODEL, 'hello', { stream })).text, /guardrail_blocked/)
    }
  }
  const asked = gateway.upstream.ledger.rows
    .map(({ rawBody }) => rawBody)
    .find((body) => body?.includes('No talk of EMP'))
  assert.match(asked ?? '', /\{\\"source\\":\\"(?:request|reply)\\",\\"texts\\":\[/)
  const rows = (await gateway.usage('principal')) as readonly { group: Record<string, string>; attempts: number }[]
  assert.equal(rows.find(({ group }) => group.principal === 'module:guardrails')?.attempts, 8)
  for (const [fail, status] of [
    ['closed', 503],
    ['open', 200],
  ] as const) {
    await set(gateway, { ...judge, on: 'request', fail, model: 'openai/gpt-4o+text=maybe' })
    assert.equal((await gateway.chat(MODEL, 'hello')).status, status, 'no verdict')
  }
})

test('an answer that is not the JSON that was wanted gets one more try, booked; then it is refused', async (t) => {
  const gateway = await runGateway(t)
  const right = encodeURIComponent('{"answer":42}')
  const rule = {
    id: 'it',
    type: 'json-schema',
    on: 'reply',
    repair: true,
    schema: { type: 'object', required: ['answer'], properties: { answer: { type: 'integer' } } },
  }
  await set(gateway, rule)
  for (const stream of [false, true]) {
    const before = gateway.upstream.ledger.rows.length
    const fine = await gateway.chat(`${MODEL}+text=${right}`, 'give me JSON', { stream })
    assert.equal(stream ? streamedText(fine) : fine.json.choices[0].message.content, '{"answer":42}')
    assert.equal(gateway.upstream.ledger.rows.length, before + 1, 'what is right is not asked again')
    const refused = await gateway.chat(MODEL, 'no JSON here', { stream })
    assert.match(refused.text, /guardrail_blocked/)
    assert.doesNotMatch(refused.text, /echo: no JSON/, 'nothing of it has left')
    assert.equal(gateway.upstream.ledger.rows.length, before + 3, 'one more try, and only one')
    assert.match(gateway.upstream.ledger.rows.at(-1)?.rawBody ?? '', /cannot be used: it is not JSON/)
  }
  for (const stream of [false, true]) {
    gateway.upstream.script({ behaviour: 'text=oops', times: 1 })
    const mended = await gateway.chat(`${MODEL}+text=${right}`, 'give me JSON', { stream })
    assert.equal(stream ? streamedText(mended) : mended.json.choices[0].message.content, '{"answer":42}', mended.text)
  }
  const rows = (await gateway.usage('principal')) as readonly { group: Record<string, string>; attempts: number }[]
  assert.equal(rows.find(({ group }) => group.principal === 'module:guardrails')?.attempts, 4)
})
