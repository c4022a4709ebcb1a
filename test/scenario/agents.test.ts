/**
 * Turns of a coding agent (thinking, parallel calls, their results, cache markers, three turns) through every ingress, by
 * clients that hand back only what their own API knows: the upstream must get its thinking again, as it made it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, type Running, runGateway } from '../running/index.ts'
import { assertStream, type Told, toldIn } from '../streams/index.ts'
import { signatureOf } from '../upstream/reply.ts'

const upstreams = { anthropic: 'anthropic', gemini: 'gemini' }
const SCHEMA = { type: 'object', properties: { path: { type: 'string' } } }
const NAMES = ['read_file', 'list_files']
const INSTRUCTIONS = 'You are an agent. '.repeat(100)
/** Each turn asks for two calls at once. */
const ASKED = ['one', 'two', 'three'].map((n) => `call:read_file{"path":"${n}.ts"} call:list_files{"path":"${n}"}`)

interface Call {
  readonly id: string
  readonly name: string
}
/** An application that speaks one API: what it says, what it hands back, and what it takes from an answer. */
interface Agent {
  ask(text: string): void
  answer(calls: readonly Call[]): void
  body(model: string, stream: boolean): readonly [path: string, body: object]
  /** The calls of an answer, which is put into the history as a strict client would. */
  take(answer: Answer, stream: boolean): readonly Call[]
}

// biome-ignore-start lint/suspicious/noExplicitAny: histories of four APIs
const chat = (): Agent => {
  const messages: any[] = [{ role: 'system', content: INSTRUCTIONS }]
  return {
    ask: (content) => void messages.push({ role: 'user', content }),
    answer: (calls) => {
      for (const { id } of calls) messages.push({ role: 'tool', tool_call_id: id, content: `done ${id}` })
    },
    body: (model, stream) => {
      const tools = NAMES.map((name) => ({ type: 'function', function: { name, parameters: SCHEMA } }))
      return ['/v1/chat/completions', { model, stream, messages, tools, reasoning_effort: 'low', max_tokens: 8_000 }]
    },
    take(answer, stream) {
      let calls: any[] = []
      let content: string | null = ''
      if (stream) {
        for (const { json } of toldIn(answer.text)) {
          const delta = json?.choices?.[0]?.delta
          content += delta?.content ?? ''
          for (const { index, id, function: fn } of delta?.tool_calls ?? []) {
            calls[index] ??= { id, type: 'function', function: { name: fn.name, arguments: '' } }
            calls[index].function.arguments += fn.arguments
          }
        }
      } else {
        const { message } = answer.json.choices[0]
        content = message.content
        calls = (message.tool_calls ?? []).map(({ id, type, function: { name, arguments: json } }: any) => ({
          id,
          type,
          function: { name, arguments: json },
        }))
      }
      messages.push({ role: 'assistant', content, ...(calls.length > 0 ? { tool_calls: calls } : {}) })
      return calls.map((call) => ({ id: call.id, name: call.function.name }))
    },
  }
}

const responses = (): Agent => {
  const input: any[] = []
  return {
    ask: (content) => void input.push({ role: 'user', content }),
    answer: (calls) => {
      for (const { id } of calls) input.push({ type: 'function_call_output', call_id: id, output: `done ${id}` })
    },
    body: (model, stream) => {
      const tools = NAMES.map((name) => ({ type: 'function', name, parameters: SCHEMA, strict: false }))
      const reasoning = { effort: 'low', summary: 'auto' }
      const kept = { store: false, include: ['reasoning.encrypted_content'] }
      return ['/v1/responses', { model, stream, instructions: INSTRUCTIONS, input, tools, reasoning, ...kept }]
    },
    take(answer, stream) {
      const { output } = stream ? (toldIn(answer.text).at(-1) as Told).json.response : answer.json
      // As Codex does it: items without their ids and states.
      const items = output.map(({ id: _, status: __, ...item }: any) => item)
      input.push(...items)
      return items
        .filter((item: any) => item.type === 'function_call')
        .map((item: any) => ({ id: item.call_id, name: item.name }))
    },
  }
}

const anthropic = (): Agent => {
  const messages: any[] = []
  return {
    ask: (text) => void messages.push({ role: 'user', content: [{ type: 'text', text }] }),
    answer: (calls) => {
      const results = calls.map(({ id }) => ({ type: 'tool_result', tool_use_id: id, content: `done ${id}` }))
      messages.push({ role: 'user', content: results })
    },
    body: (model, stream) => {
      const cache_control = { type: 'ephemeral' }
      const tools = NAMES.map((name) => ({ name, input_schema: SCHEMA }))
      const system = [{ type: 'text', text: INSTRUCTIONS, cache_control }]
      const thinking = { type: 'enabled', budget_tokens: 2_000 }
      return ['/v1/messages', { model, stream, max_tokens: 8_000, system, messages, tools, thinking }]
    },
    take(answer, stream) {
      let content: any[] = []
      if (stream) {
        for (const { json } of toldIn(answer.text)) {
          if (json?.type === 'content_block_start')
            content.push({ ...json.content_block, ...(json.content_block.type === 'tool_use' ? { input: '' } : {}) })
          const block = content[json?.index]
          if (json?.type !== 'content_block_delta') continue
          const { delta } = json
          if (delta.type === 'thinking_delta') block.thinking += delta.thinking
          if (delta.type === 'signature_delta') block.signature = delta.signature
          if (delta.type === 'text_delta') block.text += delta.text
          if (delta.type === 'input_json_delta') block.input += delta.partial_json
        }
        content = content.map((block) =>
          block.type === 'tool_use' ? { ...block, input: JSON.parse(block.input || '{}') } : block,
        )
      } else content = answer.json.content
      // An empty signature is a mistake to Anthropic itself; clients send back what they got.
      messages.push({ role: 'assistant', content })
      return content.filter((block) => block.type === 'tool_use').map(({ id, name }) => ({ id, name }))
    },
  }
}

const gemini = (): Agent => {
  const contents: any[] = []
  return {
    ask: (text) => void contents.push({ role: 'user', parts: [{ text }] }),
    answer: (calls) => {
      const parts = calls.map(({ id, name }) => ({
        functionResponse: { id, name, response: { result: `done ${name}` } },
      }))
      contents.push({ role: 'user', parts })
    },
    body: (model, stream) => {
      const tools = [{ functionDeclarations: NAMES.map((name) => ({ name, parametersJsonSchema: SCHEMA })) }]
      const generationConfig = {
        thinkingConfig: { thinkingBudget: 2_000, includeThoughts: true },
        maxOutputTokens: 8_000,
      }
      const path = `/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`
      return [path, { systemInstruction: { parts: [{ text: INSTRUCTIONS }] }, contents, tools, generationConfig }]
    },
    take(answer, stream) {
      const replies = stream ? toldIn(answer.text).map(({ json }) => json) : [answer.json]
      // Without what Google's own SDK does not know.
      const parts = replies
        .flatMap((reply) => reply.candidates?.[0]?.content.parts ?? [])
        .map(({ partMetadata: _, ...part }: any) => part)
        .filter((part) => part.text !== '' || part.thoughtSignature)
      contents.push({ role: 'model', parts })
      return parts.filter((part) => part.functionCall).map(({ functionCall: { id, name } }) => ({ id, name }))
    },
  }
}
const AGENTS: Readonly<Record<string, () => Agent>> = { chat, responses, anthropic, gemini }

const SPEAKS: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'openai-chat',
  '/v1/responses': 'openai-responses',
  '/v1/messages': 'anthropic-messages',
  '/v1beta': 'gemini-generate',
}

/** Three turns; the bodies that the upstream got. */
async function turns(gateway: Running, agent: Agent, model: string, stream: boolean): Promise<any[]> {
  const before = gateway.upstream.ledger.rows.length
  for (const text of ASKED) {
    agent.ask(text)
    const [path, body] = agent.body(model, stream)
    const answer = await gateway.send(path, body)
    assert.equal(answer.status, 200, answer.text)
    if (stream) assertStream(SPEAKS[path.replace(/^\/v1beta.*/, '/v1beta')] ?? '', answer.text)
    const calls = agent.take(answer, stream)
    assert.deepEqual(
      calls.map(({ name }) => name),
      NAMES,
      answer.text,
    )
    agent.answer(calls)
    const [path2, body2] = agent.body(model, stream)
    const second = await gateway.send(path2, body2)
    assert.equal(second.status, 200, second.text)
    agent.take(second, stream)
  }
  return gateway.upstream.ledger.rows.slice(before).map((row) => JSON.parse(row.rawBody))
}

for (const [ingress, make] of Object.entries(AGENTS)) {
  for (const stream of [false, true]) {
    const how = stream ? 'streamed' : 'unstreamed'
    test(`A53: three turns of an agent through ${ingress}, ${how}: Anthropic gets its thinking again, and no other`, async (t) => {
      const gateway = await runGateway(t, { upstreams })
      const bodies = await turns(gateway, make(), 'anthropic/claude-sonnet-4-5', stream)
      const last = bodies.at(-1)
      const isCalling = ({ role, content }: any) =>
        role === 'assistant' && content.some?.((block: any) => block.type === 'tool_use')
      const assistant = last.messages.filter(isCalling)
      assert.equal(assistant.length, 3)
      for (const [i, { content }] of assistant.entries()) {
        const [thought, ...rest] = content
        assert.equal(thought.type, 'thinking', JSON.stringify(content))
        assert.equal(thought.thinking, `thinking about: ${ASKED[i]}`)
        assert.equal(thought.signature, signatureOf(thought.thinking))
        assert.deepEqual(
          rest.filter((block: any) => block.type === 'tool_use').map((block: any) => block.name),
          NAMES,
        )
        assert.ok(!rest.some((block: any) => block.type === 'thinking'))
      }
      assert.equal(last.thinking.type, 'enabled')
    })

    test(`A54: three turns of an agent through ${ingress}, ${how}: Gemini gets its signature again`, async (t) => {
      const gateway = await runGateway(t, { upstreams })
      const bodies = await turns(gateway, make(), 'gemini/gemini-3-pro', stream)
      const model = bodies
        .at(-1)
        .contents.filter(({ role, parts }: any) => role === 'model' && parts.some((part: any) => part.functionCall))
      assert.equal(model.length, 3)
      for (const { parts } of model) {
        const [first] = parts.filter((part: any) => part.functionCall)
        assert.match(first.thoughtSignature, /^[A-Za-z0-9+/]{43}=$/, JSON.stringify(parts))
      }
    })
  }
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above
