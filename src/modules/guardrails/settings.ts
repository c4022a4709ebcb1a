/** Rules as an administrator writes them: checked in their order, each for requests, answers or both. */
import { type Static, type TSchema, Type } from 'typebox'

const loosen = { loosen: true }
const common = {
  id: Type.String({ pattern: '^[a-z][a-z0-9-]{0,39}$', description: 'Stands in refusals, traces and counters.' }),
  on: Type.Union([Type.Literal('request'), Type.Literal('reply'), Type.Literal('both')], { default: 'both' }),
  action: Type.Union([Type.Literal('block'), Type.Literal('redact'), Type.Literal('flag')], { default: 'block' }),
}
const rule = <T extends string, P extends Record<string, TSchema>>(type: T, properties: P) =>
  Type.Object({ ...common, type: Type.Literal(type), ...properties }, { additionalProperties: false })

export const RULES = [
  rule('regex', {
    patterns: Type.Array(Type.String({ minLength: 1, maxLength: 1_000 }), { minItems: 1, maxItems: 100 }),
    require: Type.Boolean({
      default: false,
      description: 'Fires where none of them matches, instead of where one does.',
    }),
  }),
  rule('words', {
    words: Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { minItems: 1, maxItems: 2_000 }),
    require: Type.Boolean({ default: false }),
  }),
  rule('secrets', {}),
  rule('urls', {
    hosts: Type.Array(Type.String({ minLength: 1, maxLength: 253 }), {
      maxItems: 1_000,
      description: 'Allowed hosts; `*.example.com` is all below it. Every other address fires.',
    }),
  }),
  rule('invisible', {}),
  rule('length', {
    maxCharacters: Type.Optional(Type.Integer({ minimum: 1 })),
    maxTokens: Type.Optional(Type.Integer({ minimum: 1, description: 'Estimated: four characters each.' })),
  }),
  rule('json-schema', {
    schema: Type.Object(
      {},
      { additionalProperties: true, description: 'JSON Schema that a whole answer must satisfy.' },
    ),
  }),
  rule('webhook', {
    url: Type.String({ pattern: '^https?://' }),
    timeoutMs: Type.Integer({ default: 2_000, minimum: 10, maximum: 9_000 }),
    fail: Type.Union([Type.Literal('open'), Type.Literal('closed')], { default: 'closed' }),
  }),
] as const

export const settings = Type.Object(
  {
    rules: Type.Array(Type.Union([...RULES]), {
      default: [],
      maxItems: 100,
      description: 'Checked in this order; see guardrails.md.',
      ...loosen,
    }),
    holdBack: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 256,
      description:
        'Characters of a streamed answer that wait for what follows. What is longer can be cut off, but not kept from having begun.',
      ...loosen,
    }),
    unreadable: Type.Union([Type.Literal('refuse'), Type.Literal('pass')], {
      default: 'refuse',
      description: 'Requests that cannot be looked into whole: token numbers, uploaded files, bodies of unknown types.',
      ...loosen,
    }),
  },
  { additionalProperties: false },
)
export type Settings = Static<typeof settings>
export type Rule = Settings['rules'][number]
