/** Arguments of calls come as JSON in pieces: however they are escaped and cut, what is denied is found, and they stay JSON. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Exchange } from '../../core/exchange.ts'
import type { Host, Stage } from '../../core/module.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import { parseStrict } from '../../core/settings.ts'
import guardrails from './index.ts'

const host = {
  mode: 'enforce',
  metrics: { counter: () => ({ add() {} }) },
  refuse(code: string): never {
    throw new Error(code)
  },
} as unknown as Host

const started = (rule: object, holdBack: number) =>
  guardrails.start(host, parseStrict(guardrails.settings, { rules: [{ id: 'it', on: 'reply', ...rule }], holdBack }))
const x = (stream: boolean) => ({ stream, operation: 'chat', trace: [] }) as unknown as Exchange

/** The text as JSON with some of its characters escaped that need not be. */
const escaped = (text: string, which: readonly number[]): string =>
  [
    ...JSON.stringify(text)
      .slice(1, -1)
      .matchAll(/\\u.{4}|\\.|[^\\]/gs),
  ]
    .map(([char], i) =>
      which.includes(i) && char.length === 1 ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}` : char,
    )
    .join('')

function pieces(text: string, cuts: readonly number[]): string[] {
  const at = [...new Set(cuts.map((cut) => cut % text.length))].sort((a, b) => a - b)
  return [...at, text.length].map((end, i) => text.slice(i === 0 ? 0 : at[i - 1], end))
}
function said(stage: Stage, json: string, cuts: readonly number[]): string {
  const events: ReplyEvent[] = pieces(json, cuts).map((piece) => ({ type: 'tool-call-delta', part: 0, json: piece }))
  events.push({ type: 'tool-call-end', part: 0 })
  return events
    .flatMap((event) => stage.push(event))
    .map((event) => (event.type === 'tool-call-delta' ? event.json : ''))
    .join('')
}

const CASES = fc.record({
  before: fc.string({ unit: 'binary', maxLength: 20 }),
  after: fc.string({ unit: 'binary', maxLength: 20 }),
  which: fc.array(fc.nat(40)),
  cuts: fc.array(fc.nat(1_000), { maxLength: 60 }),
  hold: fc.constantFrom(64, 200),
})

test('T91: what is denied in arguments is redacted however it is escaped and cut, and they stay the JSON that they were', async () => {
  const stages = new Map<number, Awaited<ReturnType<typeof started>>>()
  for (const hold of [64, 200]) {
    stages.set(
      hold,
      await started({ type: 'regex', action: 'redact', patterns: ['EMP-[0-9]{6}é?', '77[0-9]{4}'] }, hold),
    )
  }
  fc.assert(
    fc.property(CASES, ({ before, after, which, cuts, hold }) => {
      const json = `{"a":"${escaped(`${before}EMP-123456é${after}`, which)}","n":771234,"list":["${escaped(after, which)}"]}`
      const stage = stages.get(hold)?.stream?.(x(true)) as Stage
      const out = said(stage, json, cuts)
      assert.deepEqual(JSON.parse(out), { a: `${before}[REDACTED]${after}`, n: '[REDACTED]', list: [after] }, json)
    }),
    { numRuns: 300 },
  )
})

test('T91: arguments stay JSON where what is held back begins inside an escape', async () => {
  // With nothing held back, only what comes after the find was complete can be replaced.
  for (const [hold, instead] of [
    [0, 'EMP-12345[REDACTED]'],
    [64, '[REDACTED]'],
  ] as const) {
    const hooks = await started({ type: 'regex', action: 'redact', patterns: ['EMP-[0-9]{6}'] }, hold)
    for (const mark of ['"', '\\', '\u0001']) {
      for (let n = 0; n < 12; n++) {
        const value = `${'x'.repeat(n)}${mark.repeat(41)}EMP-123456${mark.repeat(41)}`
        const json = JSON.stringify({ a: value, b: value })
        const out = said(
          hooks.stream?.(x(true)) as Stage,
          json,
          [...json].map((_, i) => i + 1),
        )
        const left = value.replace('EMP-123456', instead)
        assert.deepEqual(JSON.parse(out), { a: left, b: left }, json)
      }
    }
  }
})

test('T91: what is denied in arguments stops them before any of it has left', async () => {
  const hooks = await started({ type: 'words', words: ['Übel'] }, 64)
  fc.assert(
    fc.property(CASES, ({ before, after, which, cuts }) => {
      const json = `{"a":"${escaped(`${before} Übel ${after}`, which)}"}`
      const out: string[] = []
      const stage = hooks.stream?.(x(true)) as Stage
      assert.throws(() => {
        for (const piece of pieces(json, cuts)) {
          for (const event of stage.push({ type: 'tool-call-delta', part: 0, json: piece })) {
            if (event.type === 'tool-call-delta') out.push(event.json)
          }
        }
        stage.push({ type: 'tool-call-end', part: 0 })
      }, /guardrail_blocked/)
      assert.doesNotMatch(out.join(''), /bel/)
    }),
    { numRuns: 200 },
  )
})
