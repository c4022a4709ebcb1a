/** The official OpenAI SDK's Responses API against a gateway, with upstreams of every family. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { gatewayForAll, MODELS } from './gateway.ts'

const gateway = gatewayForAll()
const client = () => new OpenAI({ baseURL: `${gateway().url}/v1`, apiKey: 'anything', maxRetries: 0 })
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
}
const tools: OpenAI.Responses.Tool[] = [{ type: 'function', name: 'weather', parameters, strict: true }]

for (const { family, model } of MODELS) {
  test(`openai SDK → ${family}: a response, whole and streamed`, async () => {
    const request = { model, instructions: 'Be brief.', input: 'hello' }
    const whole = await client().responses.create(request)
    assert.deepEqual([whole.output_text, whole.status], ['echo: hello', 'completed'])
    assert.ok((whole.usage?.total_tokens ?? 0) > 0)
    let text = ''
    const stream = client().responses.stream(request)
    for await (const event of stream) if (event.type === 'response.output_text.delta') text += event.delta
    const final = await stream.finalResponse()
    assert.deepEqual([text, final.output_text], ['echo: hello', 'echo: hello'])
  })

  test(`openai SDK → ${family}: a call, its result, and thinking in between`, async () => {
    const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'call:weather{"city":"Graz"}' }]
    const request = { model, tools, reasoning: { effort: 'low' as const, summary: 'auto' as const }, store: false }
    const first = await client()
      .responses.stream({ ...request, input })
      .finalResponse()
    const call = first.output.find((item) => item.type === 'function_call')
    assert.deepEqual([call?.name, JSON.parse(call?.arguments ?? '')], ['weather', { city: 'Graz' }])
    const output = { type: 'function_call_output' as const, call_id: call?.call_id ?? '', output: '12 degrees' }
    const history = first.output.map(({ ...item }) => {
      // What the SDK's stream adds for its own use.
      delete (item as { parsed_arguments?: unknown }).parsed_arguments
      return item
    }) as OpenAI.Responses.ResponseInput
    const second = await client().responses.create({ ...request, input: [...input, ...history, output] })
    assert.ok(second.output_text)
  })

  test(`openai SDK → ${family}: an answer by schema`, async () => {
    const format = { type: 'json_schema' as const, name: 'place', schema: parameters, strict: true }
    const answer = await client().responses.create({ model, input: 'the object', text: { format } })
    assert.deepEqual(Object.keys(JSON.parse(answer.output_text)), ['city'])
  })
}

test('openai SDK: mistakes of responses are the classes that it knows, also in the middle of a stream', async () => {
  const ask = (model: string) => client().responses.create({ model, input: 'x' })
  await assert.rejects(ask('no-such-model'), OpenAI.NotFoundError)
  await assert.rejects(ask(`${MODELS[1].model}+status=429`), OpenAI.RateLimitError)
  for (const { model } of MODELS) {
    const failing = client().responses.stream({ model: `${model}+chunks=9+pace=5+truncate=7`, input: 'x' })
    await assert.rejects(failing.finalResponse(), OpenAI.APIError)
  }
})
