/**
 * The official OpenAI SDK against a running gateway, with upstreams that speak OpenAI, Anthropic and Gemini: chat, streams,
 * tools, structured output, embeddings. Run in this process and again through the executable.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'

export const FAMILIES = [
  { family: 'OpenAI', model: 'openai/gpt-4o-mini', embedding: 'openai/text-embedding-3-small' },
  { family: 'Anthropic', model: 'anthropic/claude-sonnet-4-5', embedding: undefined },
  { family: 'Gemini', model: 'gemini/gemini-2.5-flash', embedding: 'gemini/gemini-embedding-001' },
  { family: 'Bedrock', model: 'bedrock/amazon.nova-pro-v1:0', embedding: undefined },
  { family: 'Cohere', model: 'cohere/command-a-03-2025', embedding: 'cohere/embed-v4.0' },
] as const

const tools: OpenAI.ChatCompletionTool[] = [
  {
    type: 'function',
    function: {
      name: 'weather',
      description: 'The weather of a place.',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string' } },
        required: ['city'],
        additionalProperties: false,
      },
    },
  },
]

export function openaiSuite(baseURL: () => string): void {
  const client = () => new OpenAI({ baseURL: `${baseURL()}/v1`, apiKey: 'anything', maxRetries: 0 })

  for (const { family, model, embedding } of FAMILIES) {
    test(`openai SDK → ${family}: chat`, async () => {
      const answer = await client().chat.completions.create({
        model,
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'hello' },
        ],
      })
      assert.match(answer.choices[0]?.message.content ?? '', /echo: hello/)
      assert.equal(answer.choices[0]?.finish_reason, 'stop')
      assert.ok((answer.usage?.prompt_tokens ?? 0) > 0)
      assert.ok((answer.usage?.completion_tokens ?? 0) > 0)
    })

    test(`openai SDK → ${family}: streamed chat with usage`, async () => {
      const stream = await client().chat.completions.create({
        model,
        stream: true,
        stream_options: { include_usage: true },
        messages: [{ role: 'user', content: 'hello stream' }],
      })
      let text = ''
      let finish: string | null | undefined
      let usage: OpenAI.CompletionUsage | null | undefined
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? ''
        finish = chunk.choices[0]?.finish_reason ?? finish
        usage = chunk.usage ?? usage
      }
      assert.match(text, /echo: hello stream/)
      assert.equal(finish, 'stop')
      assert.ok((usage?.total_tokens ?? 0) > 0)
    })

    test(`openai SDK → ${family}: a tool call and its result, unstreamed and streamed`, async () => {
      const asked: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'call:weather{"city":"Graz"}' }]
      const first = await client().chat.completions.create({ model, tools, messages: asked })
      const message = first.choices[0]?.message
      assert.equal(first.choices[0]?.finish_reason, 'tool_calls')
      const call = message?.tool_calls?.[0]
      assert.ok(message && call?.type === 'function')
      assert.equal(call.function.name, 'weather')
      assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Graz' })
      const second = await client().chat.completions.create({
        model,
        tools,
        messages: [
          ...asked,
          message,
          { role: 'tool', tool_call_id: call.id, content: '12 degrees' },
          { role: 'user', content: 'and?' },
        ],
      })
      assert.ok(second.choices[0]?.message.content)
      const runner = client().chat.completions.stream({ model, tools, messages: asked })
      const final = await runner.finalChatCompletion()
      const streamed = final.choices[0]?.message.tool_calls?.[0]
      assert.ok(streamed?.type === 'function')
      assert.deepEqual(JSON.parse(streamed.function.arguments), { city: 'Graz' })
    })

    test(`openai SDK → ${family}: structured output`, async () => {
      const answer = await client().chat.completions.create({
        model,
        messages: [{ role: 'user', content: 'give me the object' }],
        response_format: {
          type: 'json_schema',
          json_schema: {
            name: 'thing',
            strict: true,
            schema: {
              type: 'object',
              properties: { name: { type: 'string' } },
              required: ['name'],
              additionalProperties: false,
            },
          },
        },
      })
      const parsed = JSON.parse(answer.choices[0]?.message.content ?? '') as { name: unknown }
      assert.equal(typeof parsed.name, 'string')
    })

    test(`openai SDK → ${family}: an unknown model is the SDK's NotFoundError`, async () => {
      const failing = client().chat.completions.create({
        model: 'no-such-model-anywhere',
        messages: [{ role: 'user', content: 'x' }],
      })
      await assert.rejects(
        failing,
        (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found',
      )
    })

    if (embedding) {
      test(`A68: openai SDK → ${family}: embeddings with the SDK's default encoding`, async () => {
        const answer = await client().embeddings.create({ model: embedding, input: ['one', 'two'], dimensions: 16 })
        assert.equal(answer.data.length, 2)
        assert.equal(answer.data[0]?.embedding.length, 16)
        assert.ok(answer.data[0]?.embedding.every((n) => Number.isFinite(n)))
      })
    }
  }
}
