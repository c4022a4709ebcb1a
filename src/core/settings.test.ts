/** What is wrong with what an administrator wrote is said in words that help to put it right. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type TObject, Type } from 'typebox'
import { parseStrict } from './settings.ts'

const closed = { additionalProperties: false }
const word = (...words: string[]) => Type.Union(words.map((one) => Type.Literal(one)))
const schema: TObject = Type.Object(
  {
    amount: Type.String({ pattern: '^\\d+$', examples: ['12'] }),
    window: Type.Union([
      Type.Object({ kind: Type.Literal('calendar'), unit: word('day', 'week') }, closed),
      Type.Object({ kind: Type.Literal('rolling'), seconds: Type.Integer() }, closed),
      Type.Object({ kind: Type.Literal('lifetime') }, closed),
    ]),
  },
  closed,
)

test('of alternatives only the chosen one is spoken of, words are listed, and patterns are shown by an example', () => {
  for (const [window, said] of [
    [{ kind: 'calendar', unit: 'year' }, '/window/unit: must be one of "day", "week"'],
    [{ kind: 'calendar' }, '/window: "unit" must be there'],
    [{ kind: 'rolling', seconds: 1.5 }, '/window/seconds: must be integer'],
    [{ kind: 'rolling', seconds: 1, unit: 'day' }, '/window/unit: there is no such field.'],
    [{ kind: 'for ever' }, '/window/kind: must be one of "calendar", "rolling", "lifetime"'],
    [{}, '/window: "kind" and "unit" must be there'],
    [undefined, 'the body: "window" must be there'],
  ] as const) {
    assert.throws(
      () => parseStrict(schema, { amount: '1', ...(window ? { window } : {}) }),
      (error: Error) => {
        assert.ok(error.message.includes(said), `${JSON.stringify(window)}: ${error.message}`)
        return true
      },
    )
  }
  assert.throws(
    () => parseStrict(schema, { amount: '-1', window: { kind: 'lifetime' } }),
    /\/amount: must look like "12"/,
  )
  assert.throws(() => parseStrict(schema, { amuont: '1' }), /\/amuont: there is no such field. Did you mean "amount"\?/)
})
