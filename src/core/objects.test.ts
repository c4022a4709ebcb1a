import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attempt, Exchange, Plan } from './exchange.ts'
import { claim, keep, type Objects, type OwnedObject, pinned } from './objects.ts'

const row = (id: string, scope: string, upstream = 'one'): OwnedObject => ({
  id,
  scope,
  upstream,
  kind: 'file',
  madeAt: 1,
  maker: { principal: scope },
})
const rows = [
  row('file-a', 'a'),
  row('file-b', 'b'),
  row('file-two', 'a', 'two'),
  row('same', 'b'),
  row('same', 'a', 'two'),
]
const objects = { find: (id: string) => rows.filter((o) => o.id === id) } as unknown as Objects
const from = (scope: string, more: object = {}) => ({ principal: { scope }, ...more }) as Exchange

test('an object is its maker’s alone: foreign and unknown ids are the same 404', () => {
  assert.equal(claim(from('a'), ['file-a'], objects)[0]?.id, 'file-a')
  const foreign = () => claim(from('a'), ['file-b'], objects)
  const unknown = () => claim(from('a'), ['file-x'], objects)
  assert.throws(foreign, { code: 'not_found', message: 'There is no object "file-b" here.' })
  assert.throws(unknown, { code: 'not_found', message: 'There is no object "file-x" here.' })
  assert.throws(() => claim(from('a'), ['file-a', 'file-b'], objects), { code: 'not_found' })
  assert.throws(() => claim({} as Exchange, ['file-a'], objects), { code: 'not_found' })
})

test('two upstreams may use the same id', () => {
  assert.equal(claim(from('a'), ['same'], objects)[0]?.upstream, 'two')
  assert.equal(claim(from('b'), ['same'], objects)[0]?.upstream, 'one')
  assert.throws(() => claim(from('a', { upstream: 'one' }), ['same'], objects), { code: 'not_found' })
})

test('one request cannot use objects of two upstreams', () => {
  assert.throws(() => claim(from('a'), ['file-a', 'file-two'], objects), { code: 'invalid_request' })
})

test('a plan keeps only the targets that hold what is named', () => {
  const plan = { targets: [{ upstream: { id: 'one' } }, { upstream: { id: 'two' } }] } as unknown as Plan
  const at = (upstream: string) => ({ model: 'm', owned: [row('x', 'a', upstream)] }) as unknown as Exchange
  assert.deepEqual(pinned(at('two'), plan).targets, [plan.targets[1]])
  assert.throws(() => pinned(at('three'), plan), { code: 'invalid_request' })
  assert.equal(pinned({} as Exchange, plan), plan)
})

test('what a reply says was made is kept once, for whoever asked', () => {
  const put: OwnedObject[] = []
  const facts = { textBytes: 0, complete: true, made: [{ id: 'file-n', kind: 'file' }] }
  const attempt = { credential: 'main', target: { model: 'm', upstream: { id: 'one' } } } as Attempt
  const x = { principal: { id: 'key1', scope: 'team', team: 't' } } as Exchange
  const store = { put: (o: OwnedObject) => void put.push(o) } as unknown as Objects
  keep(x, attempt, facts, store, 7)
  keep(x, attempt, facts, store, 8)
  assert.deepEqual(put, [
    {
      id: 'file-n',
      kind: 'file',
      upstream: 'one',
      scope: 'team',
      madeAt: 7,
      maker: { principal: 'key1', team: 't' },
      credential: 'main',
      model: 'm',
    },
  ])
})
