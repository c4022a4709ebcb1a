/**
 * A client that speaks OpenAI Chat sends back what it was given: then Anthropic gets its own thinking again, byte for
 * byte and in order, before the call it led to.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject, JsonValue } from '../../src/core/request.ts'
import anthropic from '../../src/dialects/anthropic-messages/index.ts'
import openaiChat from '../../src/dialects/openai-chat/index.ts'
import { payloadsOf } from '../golden/chat-stream.ts'
import { readBody, writtenBody, writtenStream } from './replay.ts'

const CONTENT: readonly JsonObject[] = [
  { type: 'thinking', thinking: 'The user wants ☀️ or rain.', signature: 'c2lnbmVkLTE=' },
  { type: 'redacted_thinking', data: 'c2VhbGVk' },
  { type: 'thinking', thinking: '', signature: 'ZW1wdHktYnV0LXNpZ25lZA==' },
  { type: 'text', text: 'Let me look.' },
  { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Zürich' } },
  { type: 'tool_use', id: 'toolu_2', name: 'now', input: {} },
]
const REPLY = JSON.stringify({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-5',
  content: CONTENT,
  stop_reason: 'tool_use',
  stop_sequence: null,
  usage: { input_tokens: 3, output_tokens: 5 },
})
type Json = Record<string, JsonValue | undefined>

/** As a client collects a message: texts and lists grow, calls by their index. */
function collected(stream: string): JsonObject {
  const message: Json = { role: 'assistant', content: '' }
  const calls: Json[] = []
  for (const data of payloadsOf(stream).slice(0, -1)) {
    const { content, reasoning_content, thinking_blocks = [], tool_calls = [] } = JSON.parse(data).choices[0].delta
    if (content) message.content += content
    if (reasoning_content) message.reasoning_content = `${message.reasoning_content ?? ''}${reasoning_content}`
    message.thinking_blocks = [...((message.thinking_blocks as JsonValue[]) ?? []), ...thinking_blocks]
    for (const { index, ...call } of tool_calls) {
      const known = calls[index]
      if (known) (known.function as Json).arguments += call.function.arguments
      else calls[index] = call
    }
  }
  return { ...message, tool_calls: calls as JsonValue[] }
}

const events = readBody(anthropic, REPLY)
const ways: Record<string, JsonObject> = {
  'as a body': (writtenBody(openaiChat, events).choices as unknown as { message: JsonObject }[])[0]?.message ?? {},
  'as a stream': collected(writtenStream(openaiChat, events)),
}

for (const [way, message] of Object.entries(ways)) {
  test(`A53: thinking given ${way} and sent back is what Anthropic signed`, () => {
    const results = ['toolu_1', 'toolu_2'].map((id) => ({ role: 'tool', tool_call_id: id, content: 'ok' }))
    const tools = ['weather', 'now'].map((name) => ({
      type: 'function',
      function: { name, parameters: { type: 'object' } },
    }))
    const asked = { model: 'm', messages: [{ role: 'user', content: 'Go.' }, message, ...results], tools }
    const request = openaiChat.client?.readRequest({ ...asked, reasoning_effort: 'low' } as unknown as JsonObject)
    assert.ok(request)
    const context = {
      model: 'claude-sonnet-4-5',
      provider: 'test',
      maxOutputTokens: 64_000,
      report: (what: string) => assert.fail(what),
    }
    const body = anthropic.upstream?.writeRequest(request, context) as unknown as { messages: JsonObject[] }
    assert.deepEqual(body.messages[1], { role: 'assistant', content: CONTENT })
  })
}
