/** The official Google GenAI SDK against a gateway, with upstreams of every family. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError, FinishReason, FunctionCallingConfigMode, GoogleGenAI } from '@google/genai'
import { gatewayForAll, MODELS } from './gateway.ts'

const gateway = gatewayForAll()
const client = () => new GoogleGenAI({ apiKey: 'anything', httpOptions: { baseUrl: gateway().url } })
const tools = [
  {
    functionDeclarations: [
      {
        name: 'weather',
        parametersJsonSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    ],
  },
]

for (const { family, model } of MODELS) {
  test(`google SDK → ${family}: content, whole and streamed`, async () => {
    const config = { systemInstruction: 'Be brief.', maxOutputTokens: 64 }
    const whole = await client().models.generateContent({ model, contents: 'hello', config })
    assert.equal(whole.text, 'echo: hello')
    assert.equal(whole.candidates?.[0]?.finishReason, FinishReason.STOP)
    assert.ok((whole.usageMetadata?.promptTokenCount ?? 0) > 0)
    let text = ''
    let last: FinishReason | undefined
    for await (const chunk of await client().models.generateContentStream({
      model,
      contents: 'hello stream',
      config,
    })) {
      text += chunk.text ?? ''
      last = chunk.candidates?.[0]?.finishReason ?? last
    }
    assert.deepEqual([text, last], ['echo: hello stream', FinishReason.STOP])
  })

  test(`google SDK → ${family}: a call and its result`, async () => {
    const contents = [{ role: 'user', parts: [{ text: 'call:weather{"city":"Graz"}' }] }]
    const first = await client().models.generateContent({ model, contents, config: { tools } })
    const [call] = first.functionCalls ?? []
    assert.deepEqual([call?.name, call?.args], ['weather', { city: 'Graz' }])
    const answered = first.candidates?.[0]?.content
    assert.ok(answered && call?.name)
    const functionResponse = {
      ...(call.id ? { id: call.id } : {}),
      name: call.name,
      response: { result: '12 degrees' },
    }
    const second = await client().models.generateContent({
      model,
      contents: [...contents, answered, { role: 'user', parts: [{ functionResponse }] }],
      config: { tools },
    })
    assert.ok(second.text)
  })

  test(`google SDK → ${family}: a forced call, streamed`, async () => {
    const toolConfig = { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } }
    const calls: unknown[] = []
    for await (const chunk of await client().models.generateContentStream({
      model,
      contents: 'go',
      config: { tools, toolConfig },
    })) {
      for (const call of chunk.functionCalls ?? []) calls.push(call.name)
    }
    assert.deepEqual(calls, ['weather'])
  })

  test(`google SDK → ${family}: an answer by schema`, async () => {
    const schema = {
      type: 'object',
      properties: { name: { type: 'string' } },
      required: ['name'],
      additionalProperties: false,
    }
    const config = { responseMimeType: 'application/json', responseJsonSchema: schema }
    const answer = await client().models.generateContent({ model, contents: 'the object', config })
    assert.deepEqual(Object.keys(JSON.parse(answer.text ?? '')), ['name'])
  })

  test(`google SDK → ${family}: a chat remembers`, async () => {
    const chat = client().chats.create({ model })
    await chat.sendMessage({ message: 'one' })
    const second = await chat.sendMessage({ message: 'two' })
    assert.equal(second.text, 'echo: two')
    assert.equal(chat.getHistory().length, 4)
  })
}

test('google SDK: mistakes are errors with their status', async () => {
  const ask = (model: string) => client().models.generateContent({ model, contents: 'x' })
  const status = (wanted: number) => (error: unknown) => error instanceof ApiError && error.status === wanted
  await assert.rejects(ask('no-such-model'), status(404))
  await assert.rejects(ask(`${MODELS[0].model}+status=429`), status(429))
  await assert.rejects(async () => {
    const model = `${MODELS[1].model}+chunks=9+pace=5+truncate=5`
    for await (const _ of await client().models.generateContentStream({ model, contents: 'x' })) {
      // It fails on the way.
    }
  })
})

test('A65: google SDK: the list of models, page by page', async () => {
  const names: string[] = []
  for await (const model of await client().models.list({ config: { pageSize: 50 } })) names.push(model.name ?? '')
  assert.ok(names.length > 50 && names.every((name) => name.startsWith('models/')))
})
