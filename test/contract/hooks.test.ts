/**
 * Every hook of the contract in a running gateway, by a module made for the purpose: what a crash and a refusal do in each
 * phase, streamed and unstreamed, and that every hold is closed exactly once, however an exchange ends.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type } from 'typebox'
import type { Exchange } from '../../src/core/exchange.ts'
import type { FaultMode, Hooks, Module } from '../../src/core/module.ts'
import { type Answer, type Running, runGateway, streamedText, until } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'
const no = { status: 403, message: 'No: {why}', blame: 'client', retry: 'never' } as const

/** A gateway with one more module. */
async function probed(t: Parameters<typeof runGateway>[0], fault: FaultMode, hooks: Partial<Hooks>): Promise<Running> {
  const module: Module = {
    id: 'probe',
    summary: 'For tests.',
    layer: 'content',
    default: 'enforce',
    fault,
    settings: Type.Object({}, { additionalProperties: false }),
    errors: { no },
    start: () => hooks,
  }
  return runGateway(t, { extraModules: [module] })
}
const crash = () => {
  throw new TypeError('bug')
}
const text = (answer: Answer): string => (answer.json ? answer.json.choices[0].message.content : streamedText(answer))
const both = [{}, { stream: true }]

/** Phases in which a crash happens before the answer has begun: open goes on, closed is a 503. */
const early: Partial<Hooks>[] = [
  { route: crash },
  { admit: crash },
  { transform: crash },
  { call: crash },
  { attempt: crash },
]
for (const hooks of early) {
  const [phase] = Object.keys(hooks)
  test(`a crash in ${phase}: open goes on, closed is 503, streamed and not`, async (t) => {
    const open = await probed(t, 'open', hooks)
    const closed = await probed(t, 'closed', hooks)
    for (const more of both) {
      assert.equal(text(await open.chat(MODEL, 'hello', more)), 'echo: hello')
      const refused = await closed.chat(MODEL, 'hello', more)
      assert.equal(refused.status, 503)
      assert.match(refused.json.error.message, /probe/)
    }
  })
}

test('a crash in a stream stage: open takes the stage out; closed ends the answer with an error', async (t) => {
  const hooks: Partial<Hooks> = { stream: () => ({ push: crash }) }
  const open = await probed(t, 'open', hooks)
  const closed = await probed(t, 'closed', hooks)
  for (const more of both) assert.equal(text(await open.chat(MODEL, 'hello', more)), 'echo: hello')
  assert.equal((await closed.chat(MODEL, 'hello')).status, 503)
  const streamed = await closed.chat(MODEL, 'hello', { stream: true })
  assert.ok(!streamed.data.includes('[DONE]'))
  assert.ok(streamed.data.some((d) => d.startsWith('{"error"')))
})

test('a crash in meter: open goes on unmetered, closed ends the stream', async (t) => {
  const open = await probed(t, 'open', { meter: crash })
  const closed = await probed(t, 'closed', { meter: crash })
  const more = { stream: true }
  assert.equal(text(await open.chat(MODEL, 'hello', more)), 'echo: hello')
  const ended = await closed.chat(`${MODEL}+chunks=5+pace=10`, 'hello', more)
  assert.ok(!ended.data.includes('[DONE]'))
})

test('a crash in settle or record changes nothing for the client', async (t) => {
  const gateway = await probed(t, 'closed', { settle: crash, record: crash })
  for (const more of both) assert.equal(text(await gateway.chat(MODEL, 'hello', more)), 'echo: hello')
})

test('a refusal in each phase is the same decision streamed and unstreamed', async (t) => {
  for (const phase of ['authenticate', 'route', 'admit', 'transform', 'call'] as const) {
    const module: Module = {
      id: 'probe',
      summary: 'For tests.',
      layer: 'identity',
      default: 'enforce',
      fault: 'open',
      settings: Type.Object({}, { additionalProperties: false }),
      errors: { no },
      start: (host) => ({ [phase]: () => host.refuse('no', { why: phase }) }),
    }
    const gateway = await runGateway(t, { extraModules: [module] })
    for (const more of both) {
      const answer = await gateway.chat(MODEL, 'hello', more)
      assert.equal(answer.status, 403)
      assert.equal(answer.json.error.message, `No: ${phase}`)
    }
    assert.equal(gateway.upstream.ledger.rows.length, 0)
  }
})

test('a stage may change, drop and hold back text, streamed and unstreamed alike; unknown fields survive', async (t) => {
  const gateway = await probed(t, 'closed', {
    stream: () => {
      let held = ''
      return {
        push(event) {
          if (event.type !== 'text-delta') {
            if (event.type !== 'text-end' || !held) return [event]
            const out = { type: 'text-delta' as const, part: event.part, text: held.toUpperCase() }
            held = ''
            return [out, event]
          }
          held += event.text
          return []
        },
      }
    },
  })
  for (const more of both) assert.equal(text(await gateway.chat(MODEL, 'hello', more)), 'ECHO: HELLO')
})

test('every hold is closed exactly once: success, refusal, upstream error, cut stream, a client that leaves', async (t) => {
  let taken = 0
  let settled = 0
  let released = 0
  let refuse = false
  const gateway = await probed(t, 'closed', {
    admit: () => {
      taken++
      return { settle: () => void settled++, release: () => void released++ }
    },
    transform: (_: Exchange, request) => {
      if (refuse) throw new TypeError('bug')
      return request
    },
  })
  const closed = () => settled + released
  for (const model of [
    MODEL,
    `${MODEL}+status=400`,
    `${MODEL}+chunks=5+pace=10+truncate=3`,
    'openai/none+hang-headers+status=500',
  ]) {
    for (const more of both)
      await Promise.race([gateway.chat(model, 'x', more), new Promise((r) => setTimeout(r, 500))])
  }
  refuse = true
  await gateway.chat(MODEL, 'x')
  await gateway.served.close(100)
  await until(() => closed() === taken, `${taken} holds are closed, not ${closed()}`, 5_000)
  assert.equal(closed(), taken)
  assert.ok(released >= 1 && settled >= 4)
})
