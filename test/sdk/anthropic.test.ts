/** The official Anthropic SDK against a gateway, with upstreams of every family: messages, streams, tools, errors, models. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema'
import { gatewayForAll, MODELS } from './gateway.ts'

const gateway = gatewayForAll()
const client = () => new Anthropic({ baseURL: gateway().url, apiKey: 'anything', maxRetries: 0 })
const user = (content: string) => [{ role: 'user' as const, content }]
const tools: Anthropic.Tool[] = [
  { name: 'weather', input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
]

for (const { family, model } of MODELS) {
  test(`anthropic SDK → ${family}: a message`, async () => {
    const message = await client().messages.create({
      model,
      max_tokens: 64,
      system: 'Be brief.',
      messages: user('hello'),
    })
    assert.deepEqual(
      message.content.map((block) => block.type === 'text' && block.text),
      ['echo: hello'],
    )
    assert.equal(message.stop_reason, 'end_turn')
    assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0)
    assert.ok(message._request_id)
  })

  test(`A28: anthropic SDK → ${family}: the streaming helper, with input tokens from the start`, async () => {
    const stream = client().messages.stream({ model, max_tokens: 64, messages: user('hello stream') })
    let text = ''
    let input = 0
    stream.on('text', (delta) => {
      text += delta
    })
    stream.on('streamEvent', (event) => {
      if (event.type === 'message_start') input = event.message.usage.input_tokens
    })
    const message = await stream.finalMessage()
    assert.equal(text, 'echo: hello stream')
    assert.equal(message.stop_reason, 'end_turn')
    assert.ok(input > 0, 'message_start counts the input')
    assert.ok(message.usage.output_tokens > 0)
  })

  test(`anthropic SDK → ${family}: a call and its result, streamed and not`, async () => {
    const asked = user('call:weather{"city":"Graz"}')
    for (const stream of [false, true]) {
      const request = { model, max_tokens: 99, tools, messages: asked }
      const first = stream
        ? await client().messages.stream(request).finalMessage()
        : await client().messages.create(request)
      assert.equal(first.stop_reason, 'tool_use')
      const call = first.content.find((block) => block.type === 'tool_use')
      assert.ok(call)
      assert.deepEqual([call.name, call.input], ['weather', { city: 'Graz' }])
      const results = [{ type: 'tool_result' as const, tool_use_id: call.id, content: '12 degrees' }]
      const second = await client().messages.create({
        ...request,
        messages: [...asked, { role: 'assistant', content: first.content }, { role: 'user', content: results }],
      })
      assert.equal(second.stop_reason, 'end_turn')
    }
  })

  test(`anthropic SDK → ${family}: the tool runner goes round by itself`, async () => {
    let ran = 0
    const weather = betaTool({
      name: 'weather',
      description: 'The weather of a place.',
      inputSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } as const,
      run: ({ city }) => {
        ran++
        return `${city}: 12 degrees`
      },
    })
    const message = await client().beta.messages.toolRunner({
      model,
      max_tokens: 99,
      tools: [weather],
      messages: user('call:weather{"city":"Graz"}'),
      max_iterations: 3,
      // The scripted provider keeps no threads; told of none by the gateway, the SDK goes on without by itself.
      ...(family.startsWith('Anthropic') ? { thread: false as const } : {}),
    })
    assert.equal(ran, 1)
    assert.match(JSON.stringify(message.content), /Graz: 12 degrees/)
  })

  test(`anthropic SDK → ${family}: an image and thinking`, async () => {
    const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
    const message = await client().messages.create({
      model,
      max_tokens: 4_096,
      thinking: { type: 'enabled', budget_tokens: 1_024 },
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } },
            { type: 'text', text: 'what is it' },
          ],
        },
      ],
    })
    assert.match(JSON.stringify(message.content), /echo: .*what is it/)
  })
}

test('anthropic SDK: mistakes are the classes that it knows', async () => {
  const ask = (more: object) =>
    client().messages.create({ model: MODELS[0].model, max_tokens: 9, messages: user('x'), ...more })
  await assert.rejects(ask({ model: 'no-such-model' }), Anthropic.NotFoundError)
  await assert.rejects(ask({ max_tokens: 'many' }), Anthropic.BadRequestError)
  await assert.rejects(ask({ model: `${MODELS[1].model}+status=429` }), Anthropic.RateLimitError)
  await assert.rejects(ask({ model: `${MODELS[2].model}+status=503` }), Anthropic.InternalServerError)
  const cut = client().messages.stream({
    model: `${MODELS[0].model}+chunks=9+pace=5+truncate=5`,
    max_tokens: 99,
    messages: user('x'),
  })
  await assert.rejects(cut.finalMessage(), Anthropic.APIError)
})

test('A65: anthropic SDK: the list of models, page by page', async () => {
  const names: string[] = []
  for await (const model of client().models.list({ limit: 50 })) names.push(model.id)
  assert.ok(names.length > 50)
  assert.equal(new Set(names).size, names.length)
  const one = await client().models.retrieve(names[0] ?? '')
  assert.equal(one.id, names[0])
})
