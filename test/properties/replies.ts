/** Random replies as events: parts in any order, pieces broken anywhere, calls growing side by side. */
import fc from 'fast-check'
import type { FinishReason, ReplyEvent } from '../../src/core/reply.ts'

/** Text as models write it, with everything that formats escape; never empty. */
const text = fc.oneof(
  fc.string({ minLength: 1, maxLength: 40, unit: 'binary' }),
  fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }),
  fc.constantFrom('{"usage": 1}', 'data: [DONE]\n\n', '\r\n', '\\u0041 "quoted" \\', 'event: error', ' ', '\u2028'),
)

/** Cut into pieces, now and then of single characters; never inside a pair of surrogates. */
const cut = (whole: string) =>
  fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 8 }).map((sizes) => {
    const points = [...whole]
    const pieces: string[] = []
    for (let i = 0, k = 0; i < points.length; k++) {
      const size = sizes[k % sizes.length] as number
      pieces.push(points.slice(i, i + size).join(''))
      i += size
    }
    return pieces
  })
const pieces = text.chain(cut)

const json = fc
  .dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2, noUnicodeString: false }), { maxKeys: 4 })
  // `__proto__` is an ordinary name on the wire, and lost by every SDK that assigns it.
  .filter((object) => !Object.hasOwn(object, '__proto__'))
  .map((object) => JSON.stringify(object))

const name = fc.string({ minLength: 1, maxLength: 30, unit: fc.constantFrom(...'abcdefXYZ_-0189') })

type Block =
  | { readonly kind: 'text' | 'reasoning'; readonly pieces: readonly string[] }
  | {
      readonly kind: 'calls'
      readonly calls: readonly { readonly name: string; readonly pieces: readonly string[] }[]
      /** Whose turn it is to grow, over and over. */
      readonly turns: readonly number[]
    }

const call = fc.record({
  name,
  pieces: fc.oneof(
    json.chain(cut),
    fc.constant([] as string[]),
    json.map((j) => [j]),
  ),
})
const block: fc.Arbitrary<Block> = fc.oneof(
  fc.record({ kind: fc.constantFrom('text' as const, 'reasoning' as const), pieces }),
  fc.record({
    kind: fc.constant('calls' as const),
    calls: fc.array(call, { minLength: 1, maxLength: 5 }),
    turns: fc.array(fc.nat(4), { minLength: 1, maxLength: 10 }),
  }),
)

export interface RandomReply {
  readonly events: readonly ReplyEvent[]
  readonly hasCalls: boolean
}

export const reply: fc.Arbitrary<RandomReply> = fc
  .record({
    blocks: fc.array(block, { minLength: 1, maxLength: 6 }),
    reason: fc.constantFrom<FinishReason>('stop', 'stop', 'length', 'content-filter'),
    input: fc.nat(10_000),
    output: fc.nat(10_000),
    hasUsage: fc.boolean(),
  })
  .map(({ blocks, reason, input, output, hasUsage }) => {
    const events: ReplyEvent[] = [{ type: 'reply-start', id: 'reply_1', model: 'a-model', created: 1_750_000_000 }]
    let part = 0
    let hasCalls = false
    for (const each of blocks) {
      if (each.kind === 'calls') {
        hasCalls = true
        const growing = each.calls.map((one, i) => ({ part: part + i, left: [...one.pieces] }))
        for (const [i, one] of each.calls.entries()) {
          events.push({ type: 'tool-call-start', part: part + i, id: `call_${part + i}`, name: one.name })
        }
        for (let turn = 0; growing.some(({ left }) => left.length > 0); turn++) {
          const waiting = growing.filter(({ left }) => left.length > 0)
          const next = waiting[(each.turns[turn % each.turns.length] as number) % waiting.length]
          if (next) events.push({ type: 'tool-call-delta', part: next.part, json: next.left.shift() as string })
        }
        for (const one of growing) events.push({ type: 'tool-call-end', part: one.part })
        part += each.calls.length
      } else {
        events.push({ type: `${each.kind}-start`, part })
        for (const piece of each.pieces) events.push({ type: `${each.kind}-delta`, part, text: piece })
        const signed = each.kind === 'reasoning' ? { signature: `signature-of-${part}` } : {}
        events.push({ type: `${each.kind}-end`, part, ...signed })
        part++
      }
    }
    if (hasUsage) events.push({ type: 'usage-report', usage: { source: 'provider', input, output } })
    events.push(
      { type: 'finish', reason: reason === 'stop' && hasCalls ? 'tool-calls' : reason },
      { type: 'reply-end' },
    )
    return { events, hasCalls }
  })
