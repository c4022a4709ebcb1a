/** What comes and goes with every request leaves nothing behind. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { Underway } from './underway.ts'

test('members come and go in any order, and each is there exactly as long as it is in', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(15)), { maxLength: 200 }), (steps) => {
      const all = Array.from({ length: 16 }, (_, name) => ({ name, place: -1 }))
      const underway = new Underway<(typeof all)[number]>()
      const expected = new Set<number>()
      for (const [enters, name] of steps) {
        const member = all[name] as (typeof all)[number]
        if (enters) {
          underway.add(member)
          expected.add(name)
        } else {
          underway.delete(member)
          expected.delete(name)
        }
        const seen: number[] = []
        underway.each((m) => seen.push(m.name))
        assert.deepEqual(seen.sort(), [...expected].sort())
        assert.equal(underway.size, expected.size)
        assert.ok(all.every((m) => (m.place !== -1) === expected.has(m.name)))
      }
    }),
  )
})

test('a visit may take out whom it likes', () => {
  const all = Array.from({ length: 8 }, () => ({ place: -1 }))
  const underway = new Underway<{ place: number }>()
  for (const member of all) underway.add(member)
  underway.each((member) => {
    underway.delete(member)
    for (const other of all.slice(4)) underway.delete(other)
  })
  assert.equal(underway.size, 0)
})

test('what has gone is not kept alive by what came after it, as in a Set', () => {
  // In a process of its own, because it counts what minor collections leave over. With a Set nearly all of it stays.
  const kept = (of: string): number => {
    const script = `
      import { Underway } from ${JSON.stringify(new URL('./underway.ts', import.meta.url).href)}
      const underway = ${of}
      const ring = []
      let n = 0
      const step = () => {
        for (let i = 0; i < 20_000; i++, n++) {
          const at = n % 64
          if (ring[at]) underway.delete(ring[at])
          ring[at] = { place: -1, load: new Array(100).fill(n) }
          underway.add(ring[at])
        }
      }
      step()
      gc()
      const before = process.memoryUsage().heapUsed
      let most = 0
      for (let i = 0; i < 10; i++) {
        step()
        gc({ type: 'minor' })
        most = Math.max(most, process.memoryUsage().heapUsed - before)
      }
      console.log(most)`
    const args = ['--expose-gc', '--max-semi-space-size=32', '--input-type=module', '--eval', script]
    return Number(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout)
  }
  const inPlaces = kept('new Underway()')
  assert.ok(Number.isFinite(inPlaces) && inPlaces < 2_000_000, `${inPlaces} bytes`)
  assert.ok(kept('new Set()') > 4 * Math.max(inPlaces, 1_000_000), 'a Set has become as good: this class may go')
})
