/** Rules as an administrator writes them: checked in their order, each for requests, answers or both. */
import { type Static, type TSchema, Type } from 'typebox'
import { common } from './every-rule.ts'
import { REMOTE } from './remote/index.ts'

const loosen = { loosen: true }
const rule = <T extends string, P extends Record<string, TSchema>>(type: T, properties: P) =>
  Type.Object({ ...common, type: Type.Literal(type), ...properties }, { additionalProperties: false })
const system = {
  system: Type.Boolean({ default: false, description: 'Look into system messages, too.' }),
}
const require = {
  require: Type.Boolean({ default: false, description: 'Fires where none of them is found, instead of where one is.' }),
}
const words = Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { minItems: 1, maxItems: 2_000 })

export const RULES = [
  rule('regex', {
    patterns: Type.Array(Type.String({ minLength: 1, maxLength: 1_000 }), { minItems: 1, maxItems: 100 }),
    ...require,
  }),
  rule('words', { words, ...require }),
  rule('topics', {
    topics: Type.Array(
      Type.Object(
        {
          name: Type.String({ minLength: 1, maxLength: 60 }),
          words,
          atLeast: Type.Integer({
            default: 1,
            minimum: 1,
            maximum: 100,
            description: 'So many different words of it.',
          }),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 50 },
    ),
  }),
  rule('secrets', {}),
  rule('urls', {
    hosts: Type.Array(Type.String({ minLength: 1, maxLength: 253 }), {
      maxItems: 1_000,
      description: 'Allowed hosts; `*.example.com` is all below it. Every other address fires.',
    }),
  }),
  rule('invisible', {}),
  rule('code', {
    kinds: Type.Array(Type.Union([Type.Literal('code'), Type.Literal('sql')]), {
      default: ['code', 'sql'],
      minItems: 1,
      maxItems: 2,
    }),
    ...system,
  }),
  rule('language', {
    languages: Type.Array(Type.String({ pattern: '^[a-z]{2}$' }), {
      minItems: 1,
      maxItems: 60,
      description: 'Allowed ones, by their ISO 639-1 codes.',
    }),
    ...system,
  }),
  rule('repetition', { times: Type.Integer({ default: 20, minimum: 3, maximum: 1_000 }) }),
  rule('injection', {
    threshold: Type.Number({
      default: 1,
      minimum: 0.5,
      maximum: 5,
      description: 'The points from which it fires; see guardrails-accuracy.md.',
    }),
    ...system,
  }),
  rule('length', {
    maxCharacters: Type.Optional(Type.Integer({ minimum: 1 })),
    maxTokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'Estimated: four characters each, one for each sign of Chinese or Japanese.',
      }),
    ),
  }),
  rule('json-schema', {
    schema: Type.Object(
      {},
      { additionalProperties: true, description: 'JSON Schema that a whole answer must satisfy.' },
    ),
    repair: Type.Boolean({
      default: false,
      description: 'Ask the same model once more for an answer that does. The answer waits until it is whole.',
    }),
    repairTimeoutMs: Type.Integer({ default: 30_000, minimum: 100, maximum: 60_000 }),
  }),
  ...REMOTE,
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
