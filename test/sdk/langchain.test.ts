/** LangChain's chat models of OpenAI, Anthropic and Google, each against every family. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ChatAnthropic } from '@langchain/anthropic'
import type { BaseChatModel } from '@langchain/core/language_models/chat_models'
import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { ChatGoogleGenerativeAI } from '@langchain/google-genai'
import { ChatOpenAI } from '@langchain/openai'
import { gatewayForAll, MODELS } from './gateway.ts'

const gateway = gatewayForAll()
const PROVIDERS: Readonly<Record<string, (model: string) => BaseChatModel>> = {
  openai: (model) =>
    new ChatOpenAI({ model, apiKey: 'k', maxRetries: 0, configuration: { baseURL: `${gateway().url}/v1` } }),
  'openai responses': (model) =>
    new ChatOpenAI({
      model,
      apiKey: 'k',
      maxRetries: 0,
      useResponsesApi: true,
      configuration: { baseURL: `${gateway().url}/v1` },
    }),
  anthropic: (model) =>
    new ChatAnthropic({ model, apiKey: 'k', maxTokens: 99, maxRetries: 0, anthropicApiUrl: gateway().url }),
  google: (model) => new ChatGoogleGenerativeAI({ model, apiKey: 'k', maxRetries: 0, baseUrl: gateway().url }),
}
const tools = [
  {
    type: 'function',
    function: {
      name: 'weather',
      description: 'The weather of a place.',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
]

for (const [provider, make] of Object.entries(PROVIDERS)) {
  for (const { family, model } of MODELS) {
    test(`LangChain (${provider}) → ${family}: text, whole and streamed`, async () => {
      const whole = await make(model).invoke('hello')
      assert.equal(whole.text, 'echo: hello')
      let text = ''
      for await (const chunk of await make(model).stream('hello stream')) text += chunk.text
      assert.equal(text, 'echo: hello stream')
    })

    test(`LangChain (${provider}) → ${family}: a call and its result`, async () => {
      const bound = make(model).bindTools?.(tools)
      assert.ok(bound)
      const asked = new HumanMessage('call:weather{"city":"Graz"}')
      const first = await bound.invoke([asked])
      const [call] = first.tool_calls ?? []
      assert.deepEqual([call?.name, call?.args], ['weather', { city: 'Graz' }])
      const result = new ToolMessage({ content: '12 degrees', tool_call_id: call?.id ?? '', name: 'weather' })
      const second = await bound.invoke([asked, first, result])
      assert.ok(second.text)
    })
  }
}
