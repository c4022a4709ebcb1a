import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Key } from './directory.ts'
import { createKeyring, sentKey } from './keys.ts'
import type { JsonObject } from './request.ts'

function keyring() {
  const rows = new Map<string, { row: Key; proof: JsonObject }>()
  const sealed = new Map<string, string>()
  let reads = 0
  const ring = createKeyring({
    secrets: {
      open: (owner, name) => sealed.get(`${owner}/${name}`),
      seal: (owner, name, plain) => void sealed.set(`${owner}/${name}`, plain),
      remove: () => {},
    },
    directory: {
      get: (_, id) => {
        reads++
        return rows.get(id)?.row as never
      },
      proof: (_, id) => {
        reads++
        return rows.get(id)?.proof
      },
    },
  })
  const issue = () => {
    const minted = ring.mint()
    rows.set(minted.id, { row: { id: minted.id, version: 1, createdAt: 0, updatedAt: 0 }, proof: minted.proof })
    return minted
  }
  return { ring, rows, issue, reads: () => reads }
}

test('a key is read back, and nothing of its secret is kept', () => {
  const { ring, rows, issue } = keyring()
  const { id, key, proof } = issue()
  assert.match(key, /^sk-sy-[0-9A-Za-z]{12}_[0-9A-Za-z]{46}$/)
  assert.deepEqual(ring.read(key, 0), { kind: 'good', row: rows.get(id)?.row })
  assert.ok(!JSON.stringify(proof).includes(key.slice(20, 40)))
  assert.equal(ring.read(keyring().issue().key, 0).kind, 'unknown')
})

test('T65: whatever is not a key costs no read and is told how it is wrong', () => {
  const { ring, issue, reads } = keyring()
  const { key } = issue()
  const damaged = [
    ...Array.from({ length: key.length - 6 }, (_, i) => {
      const at = i + 6
      const other = key[at] === 'x' ? 'y' : 'x'
      return key.slice(0, at) + other + key.slice(at + 1)
    }),
    ...Array.from({ length: key.length }, (_, i) => key.slice(0, i)),
    ...Array.from({ length: key.length - 6 }, (_, i) => key.slice(0, i + 6) + key.slice(i + 7)),
    `${key}x`,
    `"${key}"`,
    `${key} `,
    key.toUpperCase(),
    'sk-proj-abc',
    '',
    'sk-sy-',
    `${key.slice(0, 18)}-${key.slice(19)}`,
  ]
  for (const bad of damaged) {
    const reading = ring.read(bad, 0)
    assert.equal(reading.kind, 'malformed', bad)
    assert.ok(reading.kind === 'malformed' && reading.problem.length > 20)
  }
  assert.equal(reads(), 0)
  assert.ok(damaged.length > 150)
})

test('T65: no text is ever taken for a key but one that was issued', () => {
  const { ring, issue } = keyring()
  const { key } = issue()
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^sk-sy-[0-9A-Za-z]{12}_[0-9A-Za-z]{46}$/)), (text) => {
      assert.ok(text === key || ring.read(text, 0).kind !== 'good')
    }),
  )
})

test('after a rotation both secrets are good until the overlap ends, and then the old one is told apart', () => {
  const { ring, rows, issue } = keyring()
  const old = issue()
  const next = ring.mint(old.id)
  const row = { ...(rows.get(old.id)?.row as Key), overlapUntil: 1_000 }
  rows.set(old.id, { row, proof: ring.rotated(old.id, next) })
  assert.equal(ring.read(next.key, 999).kind, 'good')
  assert.equal(ring.read(old.key, 999).kind, 'good')
  assert.equal(ring.read(next.key, 1_000).kind, 'good')
  assert.equal(ring.read(old.key, 1_000).kind, 'replaced')
})

test('a key is found wherever the SDKs put it', () => {
  assert.equal(sentKey({ authorization: 'Bearer a' }), 'a')
  assert.equal(sentKey({ authorization: 'bearer  a' }), 'a')
  for (const name of ['x-api-key', 'api-key', 'x-goog-api-key']) assert.equal(sentKey({ [name]: 'a' }), 'a')
  assert.equal(sentKey({ authorization: 'Basic a' }), undefined)
})
