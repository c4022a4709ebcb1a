import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fresh } from './fresh.ts'

const MINUTE = 60_000
const tick = () => new Promise((resolve) => setImmediate(resolve))

/** A source of tokens that live a quarter of an hour, under a clock of its own. */
function source(lastsMs = 15 * MINUTE) {
  const state = { now: 0, fetches: 0, failing: false }
  const fresh = new Fresh<{ n: number; endsAt: number }>(
    async () => {
      state.fetches++
      await tick()
      if (state.failing) throw new Error('the source is down')
      const endsAt = state.now + lastsMs
      return { value: { n: state.fetches, endsAt }, expiresAt: endsAt }
    },
    () => state.now,
  )
  return { state, fresh }
}

test('A103: a hundred calls at once fetch one credential', async () => {
  const { state, fresh } = source()
  const all = await Promise.all(Array.from({ length: 100 }, () => fresh.get()))
  assert.equal(state.fetches, 1)
  assert.equal(new Set(all).size, 1)
  assert.ok(!(fresh.get() instanceof Promise), 'a credential that is at hand is a plain value')
})

test('A103: a day of calls on tokens of a quarter of an hour: none is late, none waits after the first, none is fetched twice', async () => {
  const { state, fresh } = source()
  await fresh.get()
  let waited = 0
  for (state.now = 0; state.now < 24 * 60 * MINUTE; state.now += 10_000) {
    const got = fresh.get()
    if (got instanceof Promise) waited++
    const { endsAt } = await got
    assert.ok(endsAt > state.now, `expired at ${state.now}`)
    await tick()
    await tick()
  }
  assert.equal(waited, 0)
  // Renewed when a fifth of its life is left: every 12 minutes.
  assert.ok(state.fetches >= 119 && state.fetches <= 122, String(state.fetches))
})

test('A103: a source that is down for a while is not noticed while the old credential lives, and not hammered after', async () => {
  const { state, fresh } = source()
  await fresh.get()
  state.failing = true
  state.now = 13 * MINUTE
  for (let i = 0; i < 50; i++) await fresh.get()
  await tick()
  await tick()
  assert.equal(state.fetches, 2, 'one attempt to renew while it failed')
  state.now = 16 * MINUTE
  await assert.rejects(async () => fresh.get(), /down/)
  await assert.rejects(async () => fresh.get(), /down/)
  assert.equal(state.fetches, 3, 'the second caller got the first failure')
  state.failing = false
  state.now += 3_000
  assert.equal((await fresh.get()).n, 4)
})

test('A103: a refused credential is replaced once, whoever was refused with it', async () => {
  const { state, fresh } = source()
  const old = await fresh.get()
  assert.equal(fresh.refused(old), false, 'one that has just come is not what is wrong')
  state.now += MINUTE
  assert.equal(fresh.refused(old), true)
  const next = await fresh.get()
  assert.notEqual(next, old)
  for (let i = 0; i < 20; i++) assert.equal(fresh.refused(old), true, 'there is another one already')
  assert.equal(await fresh.get(), next)
  assert.equal(state.fetches, 2)
})
