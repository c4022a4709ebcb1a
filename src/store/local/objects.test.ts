import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { OwnedObject } from '../../core/objects.ts'
import { SEALED, SEALS_KEPT_MS } from '../../core/seals.ts'
import { scratchDirectory, scratchStore } from './scratch.ts'

const file = (id: string, more: Partial<OwnedObject> = {}): OwnedObject => ({
  id,
  kind: 'file',
  upstream: 'one',
  scope: 'a',
  madeAt: 1,
  maker: { principal: 'a' },
  ...more,
})

test('owner rows survive a restart, keep their first owner, and go when the object goes', async (t) => {
  const directory = join(scratchDirectory(t), 'data')
  let store = await scratchStore(t, directory)
  store.objects.put(file('f1', { credential: 'main', model: 'm', maker: { principal: 'k', team: 't' } }))
  store.objects.put(file('f1', { scope: 'b' }))
  store.objects.put(file('f1', { scope: 'b', upstream: 'two' }))
  store.objects.put(file('f2', { madeAt: 2 }))
  await store.close()
  store = await scratchStore(t, directory)
  const { objects } = store
  assert.deepEqual(objects.find('f1'), [
    file('f1', { credential: 'main', model: 'm', maker: { principal: 'k', team: 't' } }),
    file('f1', { scope: 'b', upstream: 'two' }),
  ])
  const mine = { scope: 'a', upstream: 'one', kind: 'file' }
  assert.deepEqual(
    objects.list(mine).map((o) => o.id),
    ['f2', 'f1'],
  )
  objects.remove(file('f1'))
  assert.deepEqual(
    objects.find('f1').map((o) => o.upstream),
    ['two'],
  )
})

test('what is still to be settled is found until it is', async (t) => {
  const { objects } = await scratchStore(t, join(scratchDirectory(t), 'data'))
  objects.put(file('plain'))
  objects.put(file('b2', { kind: 'batch', madeAt: 2, facts: { attempt: 2 } }))
  objects.put(file('b1', { kind: 'batch', madeAt: 1, facts: { attempt: 1 } }))
  assert.deepEqual(
    objects.unsettled('batch', 10).map((o) => o.id),
    ['b1', 'b2'],
  )
  const [first] = objects.unsettled('batch', 1)
  assert.ok(first)
  objects.note(first, { attempt: 1, settled: true })
  assert.deepEqual(
    objects.unsettled('batch', 10).map((o) => o.id),
    ['b2'],
  )
  assert.deepEqual(objects.find('b1')[0]?.facts, { attempt: 1, settled: true })
})

test('A61: who sealed what is forgotten after a month, a few with each new one', async (t) => {
  const { objects } = await scratchStore(t, join(scratchDirectory(t), 'data'))
  const sealed = (id: string, madeAt: number) => objects.put(file(id, { kind: SEALED, madeAt }))
  for (const id of ['a', 'b', 'c', 'd']) sealed(id, 1)
  objects.put(file('old file'))
  sealed('e', SEALS_KEPT_MS + 2)
  const left = () => ['a', 'b', 'c', 'd', 'e'].filter((id) => objects.find(id).length > 0)
  assert.equal(left().length, 2)
  sealed('e', SEALS_KEPT_MS + 2)
  assert.deepEqual(left(), ['e'])
  assert.equal(objects.find('old file').length, 1)
})
