/**
 * A55: a cache marker on any kind of block reaches every upstream that knows markers, whatever the client speaks: losing
 * one means that the whole prompt is paid again in every turn.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject, JsonValue } from '../../src/core/request.ts'
import { dialects } from '../../src/dialects/index.ts'
import { runGateway } from '../running/index.ts'

const side = (id: string) => {
  const dialect = dialects.find((each) => each.id === id)
  assert.ok(dialect, id)
  return dialect
}
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const cache_control = { type: 'ephemeral' }
/** One request for each kind of block that may carry a marker, and nothing else marked in it. */
const asked = (kind: string): JsonObject => {
  const on = (which: string) => (which === kind ? { cache_control } : {})
  return {
    model: 'm',
    max_tokens: 99,
    system: [{ type: 'text', text: 'Rules.', ...on('system') }],
    tools: [{ name: 'look', input_schema: { type: 'object' }, ...on('tools') }],
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG }, ...on('image') },
          { type: 'text', text: 'Look.', ...on('text') },
        ],
      },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'look', input: {}, ...on('tool_use') }] },
      {
        role: 'user',
        content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'Seen.', ...on('tool_result') }],
      },
    ],
  }
}
const KINDS = ['system', 'tools', 'image', 'text', 'tool_use', 'tool_result']

/** Paths to all markers of this name. */
function markers(value: JsonValue | undefined, name: string, path = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => markers(item as JsonValue, name, `${path}[${i}]`))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, field]) =>
    key === name ? [path] : markers(field, name, path === '' ? key : `${path}.${key}`),
  )
}

function written(id: string, body: JsonObject, quirks = {}): { body: JsonObject; lost: string[] } {
  const request = side('anthropic-messages').client?.readRequest(body)
  const lost: string[] = []
  const upstream = side(id).upstream
  assert.ok(request && upstream)
  const model = id === 'bedrock-converse' ? 'anthropic.claude-sonnet-4-5-20250929-v1:0' : 'claude-sonnet-4-5'
  const context = { model, provider: 'p', quirks, report: (what: string) => void lost.push(what) }
  return { body: upstream.writeRequest(request, context), lost }
}

for (const kind of KINDS) {
  test(`A55: a marker on ${kind} reaches Anthropic, Bedrock and OpenRouter`, () => {
    for (const [id, name, quirks] of [
      ['anthropic-messages', 'cache_control', {}],
      ['bedrock-converse', 'cachePoint', {}],
      ['openai-chat', 'cache_control', { cacheControl: true }],
    ] as const) {
      const { body, lost } = written(id, asked(kind), quirks)
      assert.ok(markers(body, name).length > 0, `${id} loses the marker on ${kind}: ${JSON.stringify(body)}`)
      assert.deepEqual(
        lost.filter((what) => /cache/.test(what)),
        [],
      )
    }
  })

  test(`A55: a marker on ${kind} that cannot be carried is named`, () => {
    for (const id of ['openai-chat', 'gemini-generate', 'openai-responses']) {
      assert.ok(written(id, asked(kind)).lost.includes('cache'), id)
    }
  })
}

test('A55: a client of chat completions pays the prefix once: the second turn reads it', async (t) => {
  const gateway = await runGateway(t, { upstreams: { anthropic: 'anthropic' } })
  const content = [{ type: 'text', text: 'rules '.repeat(2_000), cache_control }]
  for (const stream of [false, true]) {
    const messages = [
      { role: 'system', content: stream ? [...content, ...content] : content },
      { role: 'user', content: 'go' },
    ]
    const ask = async () => {
      const more = stream ? { stream, stream_options: { include_usage: true } } : {}
      const answer = await gateway.chat('anthropic/claude-sonnet-4-5', 'go', { messages, ...more })
      return stream ? JSON.parse(answer.data.at(-2) ?? '').usage : answer.json.usage
    }
    const first = await ask()
    const second = await ask()
    assert.equal(first.prompt_tokens_details.cached_tokens, 0)
    assert.ok(second.prompt_tokens_details.cached_tokens > 1_000, JSON.stringify(second))
  }
})
