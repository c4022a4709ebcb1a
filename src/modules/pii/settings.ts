/** What an administrator chooses: what is looked for, where, and what happens to it. */
import { type Static, Type } from 'typebox'
import { ENTITIES, RECOGNIZED } from './entities.ts'

const action = (options: Readonly<Record<string, unknown>> = {}) =>
  Type.Union(
    [
      Type.Literal('mask'),
      Type.Literal('pseudonymise'),
      Type.Literal('hash'),
      Type.Literal('drop'),
      Type.Literal('block'),
      Type.Literal('flag'),
    ],
    options,
  )
const place = (value: boolean) => Type.Boolean({ default: value })
/** Settings that a lower scope may make laxer only where the scope above unlocked it. */
const loosen = { loosen: true }

export const settings = Type.Object(
  {
    action: action({
      default: 'pseudonymise',
      description:
        'What happens to a find: `mask` writes `[EMAIL]`; `pseudonymise` writes a placeholder that is the same each time for this owner, and puts the original back in the reply; `hash` writes a placeholder that nobody can turn back; `drop` leaves it out; `block` refuses the request; `flag` only notes it.',
      ...loosen,
    }),
    entities: Type.Record(Type.String(), Type.Union([action(), Type.Literal('off')]), {
      default: {},
      description: 'Another action for one entity, or `off`. What can be found is listed in pii-accuracy.md.',
      ...loosen,
    }),
    countries: Type.Array(Type.String({ pattern: '^[A-Z]{2}$' }), {
      default: [],
      description: 'Only the national ids of these countries (ISO codes); empty: of all.',
      ...loosen,
    }),
    requests: Type.Boolean({ default: true, description: 'Look at what is asked.', ...loosen }),
    replies: Type.Boolean({
      default: false,
      description: 'Look at what is answered, too. What is found there cannot be put back: `pseudonymise` masks it.',
      ...loosen,
    }),
    where: Type.Object(
      {
        system: place(true),
        user: place(true),
        assistant: place(true),
        toolArguments: place(true),
        toolResults: place(true),
        fileNames: place(true),
        endUser: place(true),
        input: place(true),
        tools: place(false),
        other: place(true),
      },
      {
        additionalProperties: false,
        default: {},
        description:
          'In which places of a request and a reply: `input` is that of embeddings and legacy completions, `tools` are definitions of tools and schemas.',
        ...loosen,
      },
    ),
    unreadable: Type.Union([Type.Literal('refuse'), Type.Literal('pass')], {
      default: 'refuse',
      description: 'Requests that cannot be looked into whole: token numbers, uploaded files, bodies of unknown types.',
      ...loosen,
    }),
    codeFences: Type.Boolean({ default: true, description: 'Look into fenced code (```), too.', ...loosen }),
    allow: Type.Array(Type.String({ minLength: 1, maxLength: 500 }), {
      default: [],
      maxItems: 1_000,
      description: 'Values that are never touched, such as your own support address. Case does not matter.',
      ...loosen,
    }),
    allowPatterns: Type.Array(Type.String({ minLength: 1, maxLength: 500 }), {
      default: [],
      maxItems: 100,
      description: 'Finds that match one of these patterns whole are never touched (RE2 syntax).',
      ...loosen,
    }),
    patterns: Type.Array(
      Type.Object(
        {
          name: Type.String({ pattern: '^[A-Z][A-Z0-9_]{0,39}$' }),
          pattern: Type.String({ minLength: 1, maxLength: 500 }),
          action: Type.Optional(action()),
        },
        { additionalProperties: false },
      ),
      { default: [], maxItems: 50, description: 'Patterns of your own (RE2 syntax), by the name of their entity.' },
    ),
    recognizer: Type.Optional(
      Type.Object(
        {
          url: Type.String({ pattern: '^https?://', description: 'Of a Presidio analyzer, without /analyze.' }),
          entities: Type.Array(Type.Union(RECOGNIZED.map((name) => Type.Literal(name))), { default: [...RECOGNIZED] }),
          language: Type.String({ default: 'en' }),
          minScore: Type.Number({ default: 0.5, minimum: 0, maximum: 1 }),
          timeoutMs: Type.Integer({ default: 2_000, minimum: 10, maximum: 9_000 }),
        },
        {
          additionalProperties: false,
          description: 'Finds names, places and organizations in requests, by an external recognizer.',
        },
      ),
    ),
  },
  { additionalProperties: false },
)
export type Settings = Static<typeof settings>
export type Action = Settings['action']

export const isEntity = (name: string): boolean =>
  (ENTITIES as readonly string[]).includes(name) || (RECOGNIZED as readonly string[]).includes(name)
