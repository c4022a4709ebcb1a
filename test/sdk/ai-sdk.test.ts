/** Vercel's AI SDK with its OpenAI (responses and chat), Anthropic and Google providers, each against every family. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogleGenerativeAI } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'
import { APICallError, generateText, isStepCount, jsonSchema, type LanguageModel, streamText, tool } from 'ai'
import { gatewayForAll, MODELS } from './gateway.ts'

const gateway = gatewayForAll()
const PROVIDERS: Readonly<Record<string, (model: string) => LanguageModel>> = {
  'openai responses': (model) => createOpenAI({ baseURL: `${gateway().url}/v1`, apiKey: 'k' }).responses(model),
  'openai chat': (model) => createOpenAI({ baseURL: `${gateway().url}/v1`, apiKey: 'k' }).chat(model),
  anthropic: (model) => createAnthropic({ baseURL: `${gateway().url}/v1`, apiKey: 'k' })(model),
  google: (model) => createGoogleGenerativeAI({ baseURL: `${gateway().url}/v1beta`, apiKey: 'k' })(model),
}
const weather = tool({
  description: 'The weather of a place.',
  inputSchema: jsonSchema<{ city: string }>({
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  }),
  execute: async ({ city }) => `${city}: 12 degrees`,
})

for (const [provider, make] of Object.entries(PROVIDERS)) {
  for (const { family, model } of MODELS) {
    test(`ai SDK (${provider}) → ${family}: text, whole and streamed`, async () => {
      const whole = await generateText({ model: make(model), prompt: 'hello', maxRetries: 0 })
      assert.deepEqual([whole.text, whole.finishReason], ['echo: hello', 'stop'])
      assert.ok((whole.usage.outputTokens ?? 0) > 0)
      const streamed = streamText({ model: make(model), prompt: 'hello stream', maxRetries: 0 })
      let text = ''
      for await (const piece of streamed.textStream) text += piece
      assert.deepEqual([text, await streamed.finishReason], ['echo: hello stream', 'stop'])
    })

    test(`ai SDK (${provider}) → ${family}: a tool in a loop, whole and streamed`, async () => {
      const asked = {
        model: make(model),
        tools: { weather },
        prompt: 'call:weather{"city":"Graz"}',
        stopWhen: isStepCount(3),
        maxRetries: 0,
      }
      const whole = await generateText(asked)
      assert.deepEqual(
        whole.steps.map((step) => step.finishReason),
        ['tool-calls', 'stop'],
      )
      assert.match(whole.text, /Graz: 12 degrees/)
      const streamed = streamText(asked)
      let text = ''
      for await (const piece of streamed.textStream) text += piece
      assert.match(text, /Graz: 12 degrees/)
      assert.equal((await streamed.steps).length, 2)
    })
  }

  test(`ai SDK (${provider}): an unknown model is an error with its status`, async () => {
    const failing = generateText({ model: make('no-such-model'), prompt: 'x', maxRetries: 0 })
    await assert.rejects(failing, (error) => APICallError.isInstance(error) && error.statusCode === 404)
  })
}
