import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { GatewayError } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { readRequest } from './read-request.ts'
import { writeRequest } from './write-request.ts'

const MODEL = 'claude-opus-4-6'
const body = (more: JsonObject): JsonObject => ({
  model: MODEL,
  max_tokens: 4_096,
  messages: [{ role: 'user', content: 'Hi' }],
  ...more,
})
const saying = (content: JsonValue, role = 'user'): JsonObject => body({ messages: [{ role, content }] })

/** Read and written again for the same vendor. */
function again(sent: JsonObject): { body: JsonObject; unsupported: string[] } {
  const unsupported: string[] = []
  const report = (what: string) => void unsupported.push(what)
  return { body: writeRequest(readRequest(sent), { model: MODEL, provider: 'p', report }), unsupported }
}

suite('what a client of this API sends reaches this vendor as it was', () => {
  const user = (content: JsonValue) => [{ role: 'user', content }]
  const cases: Record<string, JsonObject> = {
    'fields that nobody knows': { service_tier: 'auto', mcp_servers: [{ name: 'x' }], novelty: { a: [1] } },
    'metadata beside the user id': { metadata: { user_id: 'u', more: 1 } },
    'thinking by budget': { thinking: { type: 'enabled', budget_tokens: 4_000 } },
    'thinking by budget, shown': { thinking: { type: 'enabled', budget_tokens: 2_048, display: 'omitted' } },
    'thinking left to the model': { thinking: { type: 'adaptive' } },
    'thinking with an effort': {
      thinking: { type: 'adaptive', display: 'summarized' },
      output_config: { effort: 'max' },
    },
    'an effort without thinking': { output_config: { effort: 'low' } },
    'thinking of a kind to come': { thinking: { type: 'between_tools' }, output_config: { effort: 'someday' } },
    'an output format': {
      output_config: {
        format: { type: 'json_schema', schema: { type: 'object', properties: {}, additionalProperties: false } },
      },
    },
    'a format with a schema that we would rewrite': {
      output_config: { effort: 'low', format: { type: 'json_schema', schema: { type: 'string', pattern: '^a' } } },
    },
    'the old name of the output format': { output_format: { type: 'json_schema', schema: { type: 'string' } } },
    'hosted tools and fields of tools': {
      tools: [
        { name: 'f', input_schema: { type: 'object' }, defer_loading: true },
        { type: 'web_search_20250305', name: 'web_search' },
      ],
      tool_choice: { type: 'any', disable_parallel_tool_use: true },
    },
    'cache markers that say more than ours': {
      messages: user([{ type: 'text', text: 'Hi', cache_control: { type: 'ephemeral', ttl: '1h', scope: 'global' } }]),
    },
    'documents with context and citations': {
      messages: user([
        {
          type: 'document',
          source: { type: 'text', media_type: 'text/plain', data: 'Grüße' },
          title: 'T',
          context: 'C',
          citations: { enabled: true },
        },
        { type: 'document', source: { type: 'content', content: [{ type: 'text', text: 'x' }] } },
        { type: 'search_result', source: 'https://example.com', title: 'T', content: [{ type: 'text', text: 'x' }] },
        { type: 'container_upload', file_id: 'file_1' },
      ]),
    },
    'A53: three turns with thinking, redacted, signature-only and interleaved thinking': {
      messages: [
        { role: 'user', content: 'Plan' },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'Erst…  \n', signature: 'Eq+/QB==' },
            { type: 'redacted_thinking', data: 'Emw+/KA==' },
            { type: 'tool_use', id: 'toolu_1', name: 'f', input: { n: 1 }, caller: { type: 'direct' } },
          ],
        },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'ok', is_error: true }] },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: '', signature: 'CAIS' },
            { type: 'text', text: 'And', citations: [{ type: 'char_location', cited_text: 'x' }] },
            { type: 'thinking', thinking: 'again', signature: 'CAIT' },
            { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} },
            { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [] },
          ],
        },
        { role: 'user', content: 'Thanks' },
      ],
      tools: [{ name: 'f', input_schema: { type: 'object' } }],
    },
    'A55: markers inside and on results, on calls and on tools': {
      system: [{ type: 'text', text: 'Rules', cache_control: { type: 'ephemeral', ttl: '1h' } }],
      messages: [
        { role: 'user', content: 'Go' },
        {
          role: 'assistant',
          content: [{ type: 'tool_use', id: 't1', name: 'f', input: {}, cache_control: { type: 'ephemeral' } }],
        },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 't1',
              content: [
                { type: 'image', source: { type: 'file', file_id: 'file_1' }, cache_control: { type: 'ephemeral' } },
                { type: 'tool_reference', tool_name: 'f' },
              ],
              cache_control: { type: 'ephemeral', ttl: '5m' },
            },
            { type: 'text', text: 'Now', cache_control: { type: 'ephemeral' } },
          ],
        },
      ],
      tools: [{ name: 'f', input_schema: { type: 'object' }, cache_control: { type: 'ephemeral' } }],
    },
  }
  for (const [title, more] of Object.entries(cases)) {
    test(title, () => assert.deepEqual(again(body(more)), { body: body(more), unsupported: [] }))
  }
})

suite('common words', () => {
  test('tool results become messages of their own, in front of what the user says', () => {
    const { messages } = readRequest(
      saying([
        { type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: 'ok' }] },
        { type: 'text', text: 'And?' },
      ]),
    )
    assert.deepEqual(messages, [
      { role: 'tool', parts: [{ type: 'tool-result', id: 't1', content: [{ type: 'text', text: 'ok' }] }] },
      { role: 'user', parts: [{ type: 'text', text: 'And?' }] },
    ])
  })

  test('thinking and effort are words of other vendors too', () => {
    const { reasoning } = readRequest(
      body({ thinking: { type: 'adaptive', display: 'summarized' }, output_config: { effort: 'high' } }),
    )
    assert.deepEqual(reasoning, { effort: 'high', summary: true })
    assert.deepEqual(readRequest(body({ thinking: { type: 'disabled' } })).reasoning, { effort: 'none' })
    const budget = readRequest(body({ thinking: { type: 'enabled', budget_tokens: 2_000 } })).reasoning
    assert.deepEqual(budget, { budgetTokens: 2_000 })
  })

  test('nothing is left in rest of a request that the common words can say', () => {
    const said = body({
      system: 'Be brief.',
      temperature: 0,
      top_p: 0.5,
      top_k: 4,
      stop_sequences: ['END'],
      stream: true,
      thinking: { type: 'enabled', budget_tokens: 2_000 },
      metadata: { user_id: 'u' },
      tools: [{ name: 'f', description: 'F', input_schema: { type: 'object' } }],
      tool_choice: { type: 'tool', name: 'f' },
    })
    assert.equal(JSON.stringify(readRequest(said)).includes('rest'), false)
  })
})

suite('mistakes name their place', () => {
  const cases: readonly (readonly [JsonObject, string])[] = [
    [{ messages: [] }, 'model'],
    [{ model: '' }, 'model'],
    [{ model: 'm' }, 'messages'],
    [{ model: 'm', messages: 'Hi' }, 'messages'],
    [{ model: 'm', messages: [7] }, 'messages.0'],
    [saying('Hi', 'tool'), 'messages.0.role'],
    [saying(null), 'messages.0.content'],
    [saying([{ text: 'Hi' }]), 'messages.0.content.0'],
    [saying([{ type: 'text' }]), 'messages.0.content.0.text'],
    [saying([{ type: 'tool_result' }]), 'messages.0.content.0.tool_use_id'],
    [saying([{ type: 'tool_use', id: 1 }], 'assistant'), 'messages.0.content.0'],
    [body({ system: 7 }), 'system'],
    [body({ tools: [7] }), 'tools.0'],
    [body({ tools: [{ description: 'no name' }] }), 'tools'],
    [body({ max_tokens: -1 }), 'max_tokens'],
    [body({ max_tokens: 2 ** 63 }), 'max_tokens'],
    [body({ max_tokens: 1.5 }), 'max_tokens'],
  ]
  for (const [sent, param] of cases) {
    test(`${param} of ${JSON.stringify(sent)}`, () => {
      assert.throws(
        () => readRequest(sent),
        (error) => error instanceof GatewayError && error.kind.status === 400 && error.details.param === param,
      )
    })
  }
})
