/**
 * The Merkle tree of RFC 9162: hashes of leaves and nodes, roots and proofs over whatever holds the hashes of complete
 * subtrees, and what a verifier computes. Knows nothing of records, keys or storage.
 */
import { hash } from 'node:crypto'

export const EMPTY_ROOT: Buffer = hash('sha256', '', 'buffer')

const LEAF = Buffer.from([0])
/** Of a record's bytes; text is taken as UTF-8. */
export const leafHash = (record: string | Uint8Array): Buffer =>
  hash('sha256', typeof record === 'string' ? `\0${record}` : Buffer.concat([LEAF, record]), 'buffer')

const node = Buffer.alloc(65, 1)
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  node.set(left, 1)
  node.set(right, 33)
  return hash('sha256', node, 'buffer')
}

/** The hash of the complete subtree over leaves [index × 2^level, (index + 1) × 2^level). */
export type Subtrees = (level: number, index: number) => Buffer

/** The root over the first `size` leaves. */
export function rootOf(subtrees: Subtrees, size: number): Buffer {
  return size === 0 ? EMPTY_ROOT : rangeRoot(subtrees, 0, size)
}

/** The root of [start, end), where `start` is where the tree would be cut. */
function rangeRoot(subtrees: Subtrees, start: number, end: number): Buffer {
  const size = end - start
  const level = Math.floor(Math.log2(size))
  if (2 ** level === size) return subtrees(level, start / size)
  const half = splitOf(size)
  return nodeHash(rangeRoot(subtrees, start, start + half), rangeRoot(subtrees, start + half, end))
}

/** The largest power of two below `size`. */
const splitOf = (size: number): number => 2 ** Math.floor(Math.log2(size - 1))

/** RFC 9162, 2.1.3.1: the neighbors of a leaf on its way to the root, from below. */
export function inclusionProof(subtrees: Subtrees, index: number, size: number): Buffer[] {
  const proof: Buffer[] = []
  let start = 0
  let end = size
  while (end - start > 1) {
    const middle = start + splitOf(end - start)
    if (index < middle) {
      proof.push(rangeRoot(subtrees, middle, end))
      end = middle
    } else {
      proof.push(rangeRoot(subtrees, start, middle))
      start = middle
    }
  }
  return proof.reverse()
}

/** RFC 9162, 2.1.4.1: that the tree of `first` leaves is the beginning of the tree of `second`. */
export function consistencyProof(subtrees: Subtrees, first: number, second: number): Buffer[] {
  if (first === 0 || first === second) return []
  const proof: Buffer[] = []
  let start = 0
  let end = second
  let old = first
  let whole = true
  while (old !== end - start) {
    const half = splitOf(end - start)
    if (old <= half) {
      proof.push(rangeRoot(subtrees, start + half, end))
      end = start + half
    } else {
      proof.push(rangeRoot(subtrees, start, start + half))
      start += half
      old -= half
      whole = false
    }
  }
  if (!whole) proof.push(rangeRoot(subtrees, start, end))
  return proof.reverse()
}

const isHash = (bytes: Uint8Array): boolean => bytes.length === 32
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** RFC 9162, 2.1.3.2. */
export function verifyInclusion(
  index: number,
  size: number,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): boolean {
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) return false
  if (!isHash(leaf) || !isHash(root) || !proof.every(isHash)) return false
  let at = index
  let last = size - 1
  let computed: Uint8Array = leaf
  for (const neighbor of proof) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      computed = nodeHash(neighbor, computed)
      while (at % 2 === 0 && at !== 0) {
        at /= 2
        last = Math.floor(last / 2)
      }
    } else computed = nodeHash(computed, neighbor)
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && same(computed, root)
}

/** RFC 9162, 2.1.4.2. Equal sizes need equal roots and an empty proof; about what came after nothing, nothing is proven. */
export function verifyConsistency(
  first: number,
  second: number,
  firstRoot: Uint8Array,
  secondRoot: Uint8Array,
  proof: readonly Uint8Array[],
): boolean {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second) || first < 0 || second < first) return false
  if (first === second) {
    return proof.length === 0 && same(firstRoot, secondRoot) && (first > 0 || same(firstRoot, EMPTY_ROOT))
  }
  if (first === 0 || !isHash(firstRoot) || !isHash(secondRoot) || !proof.every(isHash)) return false
  const path = [...proof]
  if (Number.isInteger(Math.log2(first)) && 2 ** Math.log2(first) === first) path.unshift(firstRoot)
  const [seed, ...rest] = path
  if (seed === undefined) return false
  let at = first - 1
  let last = second - 1
  while (at % 2 === 1) {
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  let old: Uint8Array = seed
  let next: Uint8Array = seed
  for (const neighbor of rest) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      old = nodeHash(neighbor, old)
      next = nodeHash(neighbor, next)
      while (at % 2 === 0 && at !== 0) {
        at /= 2
        last = Math.floor(last / 2)
      }
    } else next = nodeHash(next, neighbor)
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && same(old, firstRoot) && same(next, secondRoot)
}

/** Grows a tree leaf by leaf with a handful of hashes in memory: for whoever reads a log from its beginning. */
export class Frontier {
  /** Roots of complete subtrees, the largest first; their sizes are the binary digits of `size`. */
  readonly #roots: Buffer[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  add(leaf: Buffer): void {
    let carried = leaf
    for (let size = this.#size; size % 2 === 1; size = Math.floor(size / 2)) {
      carried = nodeHash(this.#roots.pop() as Buffer, carried)
    }
    this.#roots.push(carried)
    this.#size++
  }

  root(): Buffer {
    let root: Buffer | undefined
    for (let i = this.#roots.length - 1; i >= 0; i--) {
      const left = this.#roots[i] as Buffer
      root = root === undefined ? left : nodeHash(left, root)
    }
    return root ?? EMPTY_ROOT
  }
}
