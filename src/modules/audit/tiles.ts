/** A Merkle tree kept in tiles of 256 hashes: the growing right edge in memory, everything else read when it is needed. */
import { nodeHash, rootOf, type Subtrees } from './merkle.ts'

export interface TileStore {
  read(level: number, number: number): Uint8Array | undefined
  write(level: number, number: number, hashes: Uint8Array): void
}

const WIDTH = 256
const HASH = 32
/** Complete tiles kept for proofs, 8 KiB each. */
const MOST_KEPT = 512

interface Edge {
  readonly hashes: Buffer
  count: number
  number: number
  changed: boolean
}

export class TiledTree {
  readonly #store: TileStore
  readonly #edge: Edge[] = []
  readonly #kept = new Map<string, Buffer>()
  #size: number

  constructor(store: TileStore, size: number) {
    this.#store = store
    this.#size = size
    for (let level = 0, entries = size; entries > 0; level++, entries = Math.floor(entries / WIDTH)) {
      const number = Math.floor(entries / WIDTH)
      const edge: Edge = { hashes: Buffer.alloc(WIDTH * HASH), count: entries % WIDTH, number, changed: false }
      if (edge.count > 0) edge.hashes.set(this.#read(level, number).subarray(0, edge.count * HASH))
      this.#edge.push(edge)
    }
  }

  get size(): number {
    return this.#size
  }

  add(leaf: Buffer): void {
    this.#push(0, leaf)
    this.#size++
  }

  /** Writes what changed since the last time. */
  save(): void {
    for (const [level, edge] of this.#edge.entries()) {
      if (!edge.changed) continue
      edge.changed = false
      if (edge.count > 0) this.#store.write(level, edge.number, edge.hashes.subarray(0, edge.count * HASH))
    }
  }

  root(size = this.#size): Buffer {
    return rootOf(this.subtrees, size)
  }

  leaf(index: number): Buffer {
    return this.subtrees(0, index)
  }

  readonly subtrees: Subtrees = (level, index) => {
    const tileLevel = Math.floor(level / 8)
    const width = 2 ** (level % 8)
    const first = index * width
    const tile = this.#tile(tileLevel, Math.floor(first / WIDTH))
    return rootWithin(tile, first % WIDTH, width)
  }

  #push(level: number, hash: Buffer): void {
    let edge = this.#edge[level]
    if (edge === undefined) {
      edge = { hashes: Buffer.alloc(WIDTH * HASH), count: 0, number: 0, changed: false }
      this.#edge.push(edge)
    }
    edge.hashes.set(hash, edge.count * HASH)
    edge.count++
    edge.changed = true
    if (edge.count < WIDTH) return
    this.#store.write(level, edge.number, edge.hashes)
    this.#push(level + 1, rootWithin(edge.hashes, 0, WIDTH))
    edge.number++
    edge.count = 0
    edge.changed = false
  }

  #tile(level: number, number: number): Buffer {
    const edge = this.#edge[level]
    return edge?.number === number ? edge.hashes : this.#read(level, number)
  }

  #read(level: number, number: number): Buffer {
    const key = `${level}/${number}`
    let tile = this.#kept.get(key)
    if (tile === undefined) {
      const read = this.#store.read(level, number)
      if (read === undefined) throw new Error(`tile ${key} is missing`)
      tile = Buffer.from(read)
      if (tile.length === WIDTH * HASH) this.#keep(key, tile)
    }
    return tile
  }

  /** Tiles of leaves make room for each other: those above them are few, and each proof needs them. */
  #keep(key: string, tile: Buffer): void {
    if (this.#kept.size >= MOST_KEPT) {
      for (const each of this.#kept.keys()) {
        if (each.startsWith('0/')) {
          this.#kept.delete(each)
          break
        }
      }
    }
    if (this.#kept.size >= MOST_KEPT) this.#kept.clear()
    this.#kept.set(key, tile)
  }
}

function rootWithin(tile: Buffer, first: number, width: number): Buffer {
  if (width === 1) {
    const at = first * HASH
    if (tile.length < at + HASH) throw new Error('a tile is shorter than its tree')
    return Buffer.from(tile.subarray(at, at + HASH))
  }
  const half = width / 2
  return nodeHash(rootWithin(tile, first, half), rootWithin(tile, first + half, half))
}
