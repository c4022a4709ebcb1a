/**
 * Records as leaves: each gets the next number and the next place in its organization's tree, and a transaction writes
 * records, tiles and sizes together. If it fails, memory is again what the disk is.
 */
import type { Bench, BenchStatement } from '../../core/program.ts'
import { leafHash } from './merkle.ts'
import { type Sealed, textOf } from './record.ts'
import { TiledTree } from './tiles.ts'

/** Trees whose right edge is in memory. */
const MOST_TREES = 256

interface Tree {
  readonly id: number
  readonly tree: TiledTree
}

export class Leaves {
  readonly #bench: Bench
  readonly #statements = new Map<string, BenchStatement>()
  readonly #trees = new Map<string, Tree>()
  readonly #touched = new Set<Tree>()
  #seq: number

  constructor(bench: Bench) {
    this.#bench = bench
    this.#seq = this.#newest()
  }

  /** Of the newest record; -1 before the first. */
  get seq(): number {
    return this.#seq
  }

  /** Inside a transaction. Returns the record's number. */
  add(record: Sealed): number {
    const seq = this.#seq + 1
    const text = textOf(seq, record)
    const place = this.#treeOf(record.organization)
    this.run('add', seq, place.id, place.tree.size, record.at, record.kind, record.exchange ?? null, text)
    place.tree.add(leafHash(text))
    this.#seq = seq
    this.#touched.add(place)
    return seq
  }

  commit(work: () => void): void {
    try {
      this.#bench.transaction(() => {
        work()
        for (const { id, tree } of this.#touched) {
          tree.save()
          this.run('grow', tree.size, id)
        }
      })
    } catch (error) {
      this.#trees.clear()
      this.#seq = this.#newest()
      throw error
    } finally {
      this.#touched.clear()
    }
  }

  /** The tree of an organization, or the instance's. Inside a transaction it is made if it is not there. */
  tree(organization: string | undefined): TiledTree {
    return this.#treeOf(organization).tree
  }

  has(organization: string | undefined): boolean {
    return this.statement('treeOf').get(organization ?? null) !== undefined
  }

  fact(name: string): string | undefined {
    return this.statement('fact').get(name)?.value as string | undefined
  }

  run(name: string, ...values: Parameters<BenchStatement['run']>): void {
    this.statement(name).run(...values)
  }

  statement(name: string): BenchStatement {
    let statement = this.#statements.get(name)
    if (statement === undefined) {
      statement = this.#bench.statement(name)
      this.#statements.set(name, statement)
    }
    return statement
  }

  #newest(): number {
    return this.statement('last').get()?.seq as number
  }

  #treeOf(organization: string | undefined): Tree {
    const name = organization ?? ''
    const known = this.#trees.get(name)
    if (known) return known
    let row = this.statement('treeOf').get(organization ?? null)
    if (row === undefined) {
      this.run('addTree', organization ?? null)
      row = this.statement('treeOf').get(organization ?? null)
    }
    const id = row?.id as number
    const tree = new TiledTree(
      {
        read: (level, number) => this.statement('tile').get(id, level, number)?.hashes as Uint8Array | undefined,
        write: (level, number, hashes) => this.run('setTile', id, level, number, hashes),
      },
      row?.size as number,
    )
    if (this.#trees.size >= MOST_TREES) {
      for (const [key, each] of this.#trees) if (key !== '' && !this.#touched.has(each)) this.#trees.delete(key)
    }
    const found = { id, tree }
    this.#trees.set(name, found)
    return found
  }
}
