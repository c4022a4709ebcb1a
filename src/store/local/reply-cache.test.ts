import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CACHE_MIGRATIONS } from '../migrations/cache.ts'
import { CacheFile } from './cache-file.ts'
import { connect } from './database.ts'
import { migrate } from './migrate.ts'
import { ReplyCache, type ReplyCacheOptions } from './reply-cache.ts'
import { atEnd, scratchDirectory } from './scratch.ts'

const KIB = 1024

/** A cache over a real file, whose writer runs when `send` is called; `clock.now` is the time. */
function scratch(t: TestContext, fileBytes = 1024 * KIB) {
  const path = join(scratchDirectory(t), 'cache.db')
  const writer = connect({ path, busyMs: 0, synchronous: 'NORMAL', checkpoints: true, shrinks: true })
  migrate(writer, path, [{ owner: 'core', steps: CACHE_MIGRATIONS }], () => 0)
  const reader = connect({ path, readOnly: true, busyMs: 0 })
  atEnd(t, () => {
    reader.close()
    writer.close()
  })
  const clock = { now: 1_000 }
  const file = new CacheFile(writer, fileBytes)
  const open = (memoryBytes = 512 * KIB, more: Partial<ReplyCacheOptions> = {}) =>
    new ReplyCache(reader, {
      memoryBytes,
      now: () => clock.now,
      send: async (writes) => file.write(writes, clock.now),
      clear: async () => file.clear(),
      paused: () => false,
      ...more,
    })
  return { path, writer, file, clock, open }
}
const entry = (text: string) => ({ meta: { text }, body: Buffer.from(text), storedAt: 900 })

test('an entry comes back from memory, while it is on its way, and from the file after a restart', async (t) => {
  const { open } = scratch(t)
  const first = open()
  first.of('cache', 'local').set('k', entry('hello'), 60_000)
  assert.deepEqual(first.of('cache', 'local').get('k'), entry('hello'))
  await first.flush()
  assert.deepEqual(first.size().entries, 1)
  assert.deepEqual(open().of('cache', 'local').get('k'), entry('hello'))
})

test('an entry belongs to its module, scope and key: no other finds it, however the names are cut', async (t) => {
  const { open } = scratch(t)
  for (const cache of [open(), open(0)]) {
    cache.of('cache', 'a').set('bc', entry('mine'), 60_000)
    await cache.flush()
    assert.equal(cache.of('cache', 'ab').get('c'), undefined)
    assert.equal(cache.of('cach', 'ea').get('bc'), undefined)
    assert.equal(cache.of('other', 'a').get('bc'), undefined)
    assert.equal(cache.of('cache', '').get('abc'), undefined)
    assert.deepEqual(cache.of('cache', 'a').get('bc'), entry('mine'))
  }
})

test('after its time an entry is gone, in memory and in the file', async (t) => {
  const { open, clock, file } = scratch(t)
  const cache = open()
  const scope = cache.of('cache', 'local')
  scope.set('k', entry('old'), 50)
  await cache.flush()
  clock.now += 49
  assert.ok(scope.get('k'))
  clock.now += 1
  assert.equal(scope.get('k'), undefined)
  assert.equal(open().of('cache', 'local').get('k'), undefined)
  scope.set('other', entry('new'), 50)
  await cache.flush()
  assert.equal(file.size().entries, 1, 'the expired row went with the next write')
})

test('a time to live of nothing keeps nothing, also of what was there', async (t) => {
  const { open } = scratch(t)
  const cache = open()
  const scope = cache.of('cache', 'local')
  scope.set('k', entry('old'), 50)
  scope.set('k', entry('new'), 0)
  await cache.flush()
  assert.equal(scope.get('k'), undefined)
})

test('memory is bounded: the least recently used entry leaves it, and is still in the file', async (t) => {
  const { open, writer } = scratch(t)
  const cache = open(12 * KIB)
  const scope = cache.of('cache', 'local')
  for (const key of ['a', 'b', 'c']) scope.set(key, entry(key.repeat(KIB)), 60_000)
  await cache.flush()
  assert.ok(scope.get('a'), 'used last')
  scope.set('d', entry('d'.repeat(KIB)), 60_000)
  await cache.flush()
  writer.exec("DELETE FROM entries WHERE key IN ('a', 'b')")
  assert.ok(scope.get('a'), 'still in memory')
  assert.equal(scope.get('b'), undefined, 'was in the file only')
})

test('A12: the file is bounded: the oldest entries go first', async (t) => {
  const { open, file } = scratch(t, 100 * KIB)
  const cache = open()
  const scope = cache.of('cache', 'local')
  for (let n = 0; n < 300; n++) {
    scope.set(`k${n}`, entry('x'.repeat(KIB)), 60_000)
    await cache.flush()
    assert.ok(file.size().bytes <= 100 * KIB)
  }
  const fresh = open().of('cache', 'local')
  assert.equal(fresh.get('k0'), undefined)
  assert.ok(fresh.get('k299'))
  assert.ok(file.size().entries > 20)
})

test('a replaced entry counts once, and as the youngest', async (t) => {
  const { open, file } = scratch(t)
  const cache = open()
  const scope = cache.of('cache', 'local')
  for (let n = 0; n < 3; n++) {
    scope.set('k', entry(`text ${n}`), 60_000)
    await cache.flush()
  }
  assert.equal(file.size().entries, 1)
  assert.deepEqual(open().of('cache', 'local').get('k'), entry('text 2'))
})

test('a deleted entry does not come back while its deletion is on its way', async (t) => {
  const { open, file, clock } = scratch(t)
  const first = open()
  first.of('cache', 'local').set('k', entry('kept'), 60_000)
  await first.flush()
  const { promise: written, resolve: write } = Promise.withResolvers<void>()
  const cache = open(0, { send: (writes) => written.then(() => file.write(writes, clock.now)) })
  const scope = cache.of('cache', 'local')
  assert.ok(scope.get('k'))
  scope.delete('k')
  assert.equal(scope.get('k'), undefined, 'waiting')
  const flushed = cache.flush()
  assert.equal(scope.get('k'), undefined, 'sent')
  write()
  await flushed
  assert.equal(scope.get('k'), undefined, 'written')
})

test('clearing leaves nothing, also of what was on its way', async (t) => {
  const { open, file } = scratch(t)
  const cache = open()
  const scope = cache.of('cache', 'local')
  scope.set('a', entry('written'), 60_000)
  await cache.flush()
  scope.set('b', entry('waiting'), 60_000)
  const cleared = cache.clear()
  assert.equal(scope.get('a'), undefined)
  assert.equal(scope.get('b'), undefined)
  await cleared
  assert.deepEqual(file.size(), { entries: 0, bytes: 0 })
  scope.set('c', entry('new'), 60_000)
  await cache.flush()
  assert.ok(open().of('cache', 'local').get('c'))
})

test('after a write that failed the file is not trusted: it is emptied before it is read again', async (t) => {
  const { open, file, clock } = scratch(t)
  const first = open()
  first.of('cache', 'local').set('k', entry('stale'), 60_000)
  await first.flush()
  let full = true
  const cache = open(0, {
    send: async (writes) => {
      if (full) throw Object.assign(new Error('full'), { errcode: 13 })
      return file.write(writes, clock.now)
    },
  })
  const scope = cache.of('cache', 'local')
  scope.set('k', entry('fresh'), 60_000)
  await cache.flush()
  assert.equal(scope.get('k'), undefined, 'never the stale one')
  full = false
  scope.set('k', entry('fresher'), 60_000)
  await cache.flush()
  assert.deepEqual(scope.get('k'), entry('fresher'))
})

test('T07: while the space is needed for the ledger an entry stays in memory, and an older one still goes', async (t) => {
  const { open } = scratch(t)
  const first = open()
  first.of('cache', 'local').set('k', entry('old'), 60_000)
  await first.flush()
  const cache = open(512 * KIB, { paused: () => true })
  cache.of('cache', 'local').set('k', entry('new'), 60_000)
  await cache.flush()
  assert.deepEqual(cache.of('cache', 'local').get('k'), entry('new'))
  assert.equal(open().of('cache', 'local').get('k'), undefined)
})

test('A12: the file shrinks when its rows go', async (t) => {
  const { open, writer, file, path } = scratch(t, 4 * 1024 * KIB)
  const cache = open()
  for (let n = 0; n < 30; n++) cache.of('cache', 'local').set(`k${n}`, entry('x'.repeat(100 * KIB)), 60_000)
  await cache.flush()
  writer.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  const before = statSync(path).size
  file.clear()
  writer.prepare('PRAGMA incremental_vacuum').all()
  writer.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  assert.ok(before > 3_000_000 && statSync(path).size < 100_000, `${before} → ${statSync(path).size}`)
})
