import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as merkle from './merkle.ts'

const FIXTURES = join(process.env.STOCKYARD_FIXTURES ?? '../shared', 'fixtures/merkle')
const missing = existsSync(FIXTURES) ? false : `no vectors in ${FIXTURES} (set STOCKYARD_FIXTURES)`

const bytes = (text: string | null): Buffer => Buffer.from(text ?? '', 'base64')
const list = (proof: string[] | null): Buffer[] => (proof ?? []).map(bytes)

/** Each vector with its file; a good one must pass and a corrupted one must not. */
function vectors(folder: string): {
  file: string // biome-ignore lint/suspicious/noExplicitAny: vectors of several shapes
  vector: any
}[] {
  return globSync(join(FIXTURES, folder, '**/*.json')).map((file) => ({
    file,
    vector: JSON.parse(readFileSync(file, 'utf8')),
  }))
}

test('T39: inclusion vectors, good and corrupted', { skip: missing }, () => {
  const all = vectors('inclusion')
  assert.ok(all.length > 80)
  for (const { file, vector: v } of all) {
    const holds = merkle.verifyInclusion(v.leafIdx, v.treeSize, bytes(v.leafHash), list(v.proof), bytes(v.root))
    assert.equal(holds, !v.wantErr, file)
  }
})

test('T39: consistency vectors, good and corrupted', { skip: missing }, () => {
  const all = vectors('consistency')
  assert.ok(all.length > 90)
  for (const { file, vector: v } of all) {
    const holds = merkle.verifyConsistency(v.size1, v.size2, bytes(v.root1), bytes(v.root2), list(v.proof))
    assert.equal(holds, !v.wantErr, file)
  }
})

test('proofs of every leaf and every pair of sizes up to 70 hold, and none holds for another', () => {
  const leaves = Array.from({ length: 70 }, (_, i) => merkle.leafHash(`leaf ${i}`))
  const subtrees: merkle.Subtrees = (level, index) =>
    level === 0
      ? (leaves[index] as Buffer)
      : merkle.nodeHash(subtrees(level - 1, index * 2), subtrees(level - 1, index * 2 + 1))
  const frontier = new merkle.Frontier()
  const roots = [merkle.EMPTY_ROOT]
  for (let size = 1; size <= leaves.length; size++) {
    frontier.add(leaves[size - 1] as Buffer)
    assert.ok(frontier.root().equals(merkle.rootOf(subtrees, size)), `root of ${size}`)
    roots.push(frontier.root())
  }
  for (let size = 1; size <= leaves.length; size++) {
    for (let index = 0; index < size; index++) {
      const proof = merkle.inclusionProof(subtrees, index, size)
      const leaf = leaves[index] as Buffer
      assert.ok(merkle.verifyInclusion(index, size, leaf, proof, roots[size] as Buffer), `${index} in ${size}`)
      assert.ok(!merkle.verifyInclusion((index + 1) % size, size, leaf, proof, roots[size] as Buffer) || size === 1)
      assert.ok(!merkle.verifyInclusion(index, size, leaf, proof, roots[size - 1] as Buffer))
    }
    for (let first = 1; first <= size; first++) {
      const proof = merkle.consistencyProof(subtrees, first, size)
      const [old, next] = [roots[first] as Buffer, roots[size] as Buffer]
      assert.ok(merkle.verifyConsistency(first, size, old, next, proof), `${first} to ${size}`)
      assert.ok(!merkle.verifyConsistency(first, size, roots[first - 1] as Buffer, next, proof))
    }
  }
})

// Subtrees are a draft beside RFC 9162 whose proofs we neither make nor take; those over the whole tree are the same.
test('T39: vectors of subtrees that are a whole tree agree as well', { skip: missing }, () => {
  let looked = 0
  for (const { file, vector: v } of vectors('subtreeconsistency')) {
    if (v.start !== 0 || v.end === 0 || v.wantErr) continue
    looked++
    const holds = merkle.verifyConsistency(v.end, v.size, bytes(v.root1), bytes(v.root2), list(v.proof))
    assert.equal(holds, true, file)
  }
  for (const { file, vector: v } of vectors('subtreeinclusion')) {
    if (v.start !== 0) continue
    looked++
    const holds = merkle.verifyInclusion(v.leafIdx, v.end, bytes(v.leafHash), list(v.proof), bytes(v.root))
    assert.equal(holds, !v.wantErr, file)
  }
  assert.ok(looked > 20, String(looked))
})
