/**
 * Bodies that are wrong in any way, in every client dialect: an error in the shape of that dialect, no other status than
 * one about the request, and nothing that an upstream has not been able to understand.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Answer, runGateway } from '../running/index.ts'

const MODEL = 'anthropic/claude-sonnet-4-5'
const OTHER = 'openai/gpt-4o-mini'
const said = (answer: Answer): void => assert.ok(answer.json?.error?.message, answer.text)

const DIALECTS: Readonly<
  Record<
    string,
    { readonly path: (model: string) => string; readonly body: (model: string) => object; check(a: Answer): void }
  >
> = {
  'openai-chat': {
    path: () => '/v1/chat/completions',
    body: (model) => ({ model, messages: [{ role: 'user', content: 'hi' }], tools: [], stop: 'x', temperature: 1 }),
    check(answer) {
      said(answer)
      assert.ok(answer.json.error.type && 'param' in answer.json.error && 'code' in answer.json.error, answer.text)
    },
  },
  'openai-responses': {
    path: () => '/v1/responses',
    body: (model) => ({
      model,
      input: [{ role: 'user', content: [{ type: 'input_text', text: 'hi' }] }],
      text: {},
      reasoning: {},
    }),
    check(answer) {
      said(answer)
      assert.ok(answer.json.error.type && 'param' in answer.json.error, answer.text)
    },
  },
  'anthropic-messages': {
    path: () => '/v1/messages',
    body: (model) => ({
      model,
      max_tokens: 9,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
      system: 'x',
    }),
    check(answer) {
      said(answer)
      assert.deepEqual([answer.json.type, typeof answer.json.error.type], ['error', 'string'], answer.text)
    },
  },
  'gemini-generate': {
    path: (model) => `/v1beta/models/${model}:generateContent`,
    body: () => ({ contents: [{ role: 'user', parts: [{ text: 'hi' }] }], generationConfig: { temperature: 1 } }),
    check(answer) {
      said(answer)
      assert.deepEqual(
        [answer.json.error.code, typeof answer.json.error.status],
        [answer.status, 'string'],
        answer.text,
      )
    },
  },
}

/** One value somewhere in a good body becomes another. */
function spoiled(value: unknown, path: readonly number[], by: unknown): unknown {
  const [first, ...rest] = path
  if (typeof value !== 'object' || value === null || first === undefined) return by
  const keys = Object.keys(value)
  if (keys.length === 0) return by
  const key = keys[first % keys.length] as string
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>
  copy[key] = rest.length === 0 ? by : spoiled(copy[key], rest, by)
  return copy
}
const wrong = fc.oneof(
  fc.constantFrom<unknown>(null, true, -1, 1.5, '', 'x', [], {}, [null], [[]], { type: 'text' }, { type: 'nonsense' }),
  fc.jsonValue({ maxDepth: 2 }),
)

for (const [id, { path, body, check }] of Object.entries(DIALECTS)) {
  // A dialect other than the client's, so that the whole body must be understood.
  const model = id === 'anthropic-messages' ? OTHER : MODEL
  test(`bad input: ${id}: whatever is wrong is told in its own shape`, async (t) => {
    const gateway = await runGateway(t, { upstreams: { openai: 'openai', anthropic: 'anthropic' } })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(9), { minLength: 1, maxLength: 5 }), wrong, async (where, by) => {
        const before = gateway.upstream.ledger.rows.length
        const answer = await gateway.send(path(model), spoiled(body(model), where, by))
        const calls = gateway.upstream.ledger.rows.length - before
        if (answer.status === 200) {
          assert.equal(calls, 1)
          return
        }
        assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}: ${answer.text}`)
        check(answer)
      }),
      { numRuns: 150 },
    )
  })

  test(`bad input: ${id}: bytes that are no object never reach an upstream`, async (t) => {
    const gateway = await runGateway(t, { upstreams: { openai: 'openai', anthropic: 'anthropic' } })
    for (const bytes of ['', '{', '[]', 'null', '"x"', '{"a":1}{"b":2}', '{"model":"\\ud800"', '\u0000', '{"a":NaN}']) {
      const answer = await gateway.send(path(model), bytes)
      assert.equal(answer.status, 400, `${bytes}: ${answer.text}`)
      check(answer)
    }
    assert.equal(gateway.upstream.ledger.rows.length, 0)
  })
}
