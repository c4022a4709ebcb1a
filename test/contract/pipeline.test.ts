/**
 * The pipeline's promises, with small modules made for the purpose: order, faults open and closed, refusals, holds, late
 * answers, peeled layers, observing. What each phase does with a crash is the table of docs/architecture.md.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type } from 'typebox'
import { Refusal } from '../../src/core/errors.ts'
import type { Exchange, Plan } from '../../src/core/exchange.ts'
import { type FaultMode, type Hold, type Hooks, type Layer, type Module, PHASES } from '../../src/core/module.ts'
import * as pipeline from '../../src/core/pipeline.ts'
import type { Reply } from '../../src/core/reply.ts'

const refusal = () => new Refusal('m', 'no', { status: 403, message: 'no', blame: 'client', retry: 'never' })

function live(
  id: string,
  hooks: Partial<Hooks>,
  more: { layer?: Layer; fault?: FaultMode; observe?: boolean; after?: string[]; patienceMs?: number } = {},
): pipeline.Live {
  const module = {
    id,
    summary: '',
    layer: more.layer ?? 'limits',
    default: 'off',
    fault: more.fault ?? 'closed',
    settings: Type.Object({}),
    start: () => hooks,
    ...(more.after ? { after: more.after } : {}),
    ...(more.patienceMs ? { patienceMs: more.patienceMs } : {}),
  } as unknown as Module
  return { module, mode: more.observe ? 'observe' : 'enforce', hooks, counts: pipeline.liveCounts() }
}
const exchange = () => ({ trace: [], request: () => ({ operation: 'chat' }) }) as unknown as Exchange
const unavailable = { code: 'module_unavailable' }
const plan = { targets: [] } as unknown as Plan
const crash = (..._: unknown[]) => {
  throw new TypeError('bug')
}

test('order: by layer, then by after, then by name; a circle is named', () => {
  const ids = (modules: pipeline.Live[]) => pipeline.inOrder(modules).map((m) => m.module.id)
  const modules = [live('z', {}, { layer: 'identity' }), live('b', {}), live('a', {}, { after: ['c'] }), live('c', {})]
  assert.deepEqual(ids(modules), ['z', 'c', 'a', 'b'])
  assert.throws(() => ids([live('a', {}, { after: ['b'] }), live('b', {}, { after: ['a'] })]), /a → b → a/)
})

test('an empty phase is an empty array', () => {
  const compiled = pipeline.compile([live('a', { route: (_, p) => p })])
  for (const phase of PHASES) assert.equal(compiled[phase].length, phase === 'route' ? 1 : 0)
})

for (const fault of ['open', 'closed'] as const) {
  const closed = fault === 'closed'
  test(`a crash, fault mode ${fault}: authenticate never lets anybody in`, async () => {
    const p = pipeline.compile([live('m', { authenticate: crash }, { fault })])
    await assert.rejects(pipeline.authenticate(p, exchange()), unavailable)
  })
  test(`a crash, fault mode ${fault}: route`, async () => {
    const p = pipeline.compile([live('m', { route: crash }, { fault })])
    if (closed) await assert.rejects(async () => pipeline.route(p, exchange(), plan), unavailable)
    else assert.equal(await pipeline.route(p, exchange(), plan), plan)
  })
  test(`a crash, fault mode ${fault}: admit`, async () => {
    const p = pipeline.compile([live('m', { admit: crash }, { fault })])
    const admitted = pipeline.admit(p, exchange(), [], () => {})
    if (closed) await assert.rejects(admitted, unavailable)
    else await admitted
  })
  test(`a crash, fault mode ${fault}: transform`, async () => {
    const p = pipeline.compile([live('m', { transform: crash }, { fault })])
    const done = pipeline.transform(p, exchange())
    if (closed) await assert.rejects(done, unavailable)
    else assert.equal(await done, undefined)
  })
  test(`a crash, fault mode ${fault}: call, before and after it went inwards`, async () => {
    const reply = {} as Reply
    for (const hook of [crash, async (_: Exchange, next: () => Promise<Reply>) => crash(await next())]) {
      let sent = 0
      const p = pipeline.compile([live('m', { call: hook }, { fault })])
      const answered = pipeline.around(p.call, exchange(), async () => {
        sent++
        return reply
      })
      if (closed) await assert.rejects(answered, unavailable)
      else {
        assert.equal(await answered, reply)
        assert.equal(sent, 1, 'never twice inwards')
      }
    }
  })
  test(`lateness, fault mode ${fault}: what was taken too late is given back`, async () => {
    let released = 0
    const hold: Hold = { settle: () => {}, release: () => void released++ }
    const late = () => new Promise<Hold>((resolve) => setTimeout(resolve, 30, hold))
    const p = pipeline.compile([live('m', { admit: late }, { fault, patienceMs: 5 })])
    const holds: Hold[] = []
    const admitted = pipeline.admit(p, exchange(), holds, () => {})
    if (closed) await assert.rejects(admitted, unavailable)
    else await admitted
    await new Promise((resolve) => setTimeout(resolve, 60))
    assert.equal(holds.length, 0)
    assert.equal(released, 1)
  })
  test(`a refusal is honored, fault mode ${fault}`, async () => {
    const refuse = () => {
      throw refusal()
    }
    const x = exchange()
    await assert.rejects(
      pipeline.admit(pipeline.compile([live('m', { admit: refuse }, { fault })]), x, [], () => {}),
      { code: 'no' },
    )
    assert.equal(x.trace[0]?.decision, 'refuse')
    await assert.rejects(
      async () => pipeline.route(pipeline.compile([live('m', { route: refuse }, { fault })]), exchange(), plan),
      { code: 'no' },
    )
    const p = pipeline.compile([live('m', { call: refuse }, { fault })])
    await assert.rejects(
      pipeline.around(p.call, exchange(), async () => ({}) as Reply),
      { code: 'no' },
    )
  })
}

test('all or nothing: what was taken before a refusal is in the holds, for whoever ends the exchange', async () => {
  const hold: Hold = { settle: () => {}, release: () => {} }
  const holds: Hold[] = []
  const refuse = () => {
    throw refusal()
  }
  const p = pipeline.compile([live('a', { admit: () => hold }), live('b', { admit: refuse })])
  await assert.rejects(pipeline.admit(p, exchange(), holds, () => {}))
  assert.deepEqual(holds, [hold])
})

test('observe changes nothing but the trace: a refusal, a plan, a request and a narrowing are only noted', async () => {
  const x = exchange()
  const refuse = () => {
    throw refusal()
  }
  const observed = (id: string, hooks: Partial<Hooks>) => live(id, hooks, { observe: true })
  const p = pipeline.compile([
    observed('a', { admit: refuse }),
    observed('b', { admit: () => ({ maxOutputTokens: 1 }) }),
    observed('c', { route: (_, was) => ({ ...was, targets: [] }), transform: (_, r) => ({ ...r, model: 'other' }) }),
  ])
  let narrowed = 0
  await pipeline.admit(p, x, [], () => narrowed++)
  assert.equal(narrowed, 0)
  assert.equal(await pipeline.route(p, x, plan), plan)
  assert.equal(await pipeline.transform(p, x), undefined)
  assert.ok(x.trace.every((d) => d.observed))
  assert.equal(p.admit[0]?.counts.wouldRefuse, 1)
})

test('requests go down the layers', async () => {
  const mark = (id: string) =>
    ({ transform: (_: Exchange, r: { model: string }) => ({ ...r, model: r.model + id }) }) as never
  const x = { trace: [], request: () => ({ operation: 'chat', model: '' }) } as unknown as Exchange
  const p = pipeline.compile([live('B', mark('B'), { layer: 'memory' }), live('A', mark('A'), { layer: 'content' })])
  assert.equal((await pipeline.transform(p, x))?.model, 'AB')
})
