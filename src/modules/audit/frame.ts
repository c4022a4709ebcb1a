/**
 * What stands before the records of an export and around a proof: everything but records that a verifier needs. Made from
 * the tables alone, by the running trail and by whoever reads its file offline.
 */
import type { BenchStatement } from '../../core/program.ts'
import type { JsonObject } from '../../core/request.ts'
import { consistencyProof, inclusionProof } from './merkle.ts'
import { TiledTree } from './tiles.ts'

/** One key of the log: from which size on it signed, its last checkpoint, and the proof that the log continues that. */
export interface Epoch {
  readonly key: string
  readonly from: number
  readonly last?: string
  readonly proof?: readonly string[]
}
export interface Frame {
  readonly origin: string
  readonly organization: string | null
  readonly checkpoint: string
  /** Leaves of the tree that is exported. */
  readonly size: number
  readonly epochs: readonly Epoch[]
  /** Of an organization's tree: the leaf of the instance's tree that names its size and root, and the proof of it. */
  readonly head?: Proven
  /** That this checkpoint continues an earlier one. */
  readonly consistency?: { readonly from: number; readonly proof: readonly string[] }
}
export interface Proven {
  readonly leaf: number
  readonly record: JsonObject
  readonly proof: readonly string[]
}

export type Statement = (name: string) => BenchStatement
export interface Signed {
  readonly note: string
  readonly size: number
}

export const texts = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('base64'))

/** A tree as its tables have it; undefined if the organization has none. */
export function storedTree(statement: Statement, organization: string | undefined): TiledTree | undefined {
  const row = statement('treeOf').get(organization ?? null)
  if (row === undefined) return undefined
  const tile = statement('tile')
  return new TiledTree(
    {
      read: (level, number) => tile.get(row.id as number, level, number)?.hashes as Uint8Array | undefined,
      write: () => {},
    },
    row.size as number,
  )
}

/** Undefined if the organization has no tree, or no checkpoint covers it yet. */
export function frameOf(
  statement: Statement,
  parts: {
    readonly origin: string
    readonly instance: TiledTree
    readonly signed: Signed
    readonly organization?: string | undefined
    readonly continues?: number | undefined
  },
): Frame | undefined {
  const { origin, instance, signed, organization, continues } = parts
  const { note, size } = signed
  const ended = new Map(
    statement('lastCheckpoints')
      .all()
      .map((row) => [row.key, row]),
  )
  const epochs = statement('keys')
    .all()
    .map(({ id, size: from, verifier }): Epoch => {
      const epoch = { key: verifier as string, from: from as number }
      const last = ended.get(id as number)
      if (last === undefined) return epoch
      const proof = texts(consistencyProof(instance.subtrees, last.size as number, size))
      return { ...epoch, last: last.note as string, proof }
    })
  const head = organization === undefined ? undefined : headOf(statement, instance, organization, size)
  if (organization !== undefined && head === undefined) return undefined
  return {
    origin,
    organization: organization ?? null,
    checkpoint: note,
    size: head === undefined ? size : Number(head.record.size),
    epochs,
    ...(head === undefined ? {} : { head }),
    ...(continues === undefined || continues < 1 || continues > size
      ? {}
      : { consistency: { from: continues, proof: texts(consistencyProof(instance.subtrees, continues, size)) } }),
  }
}

/** The newest head of an organization that a checkpoint covers, proven in the instance's tree of that size. */
function headOf(statement: Statement, instance: TiledTree, organization: string, size: number): Proven | undefined {
  const row = statement('headOf').get(organization, size)
  if (row === undefined) return undefined
  const leaf = row.leaf as number
  const proof = texts(inclusionProof(instance.subtrees, leaf, size))
  return { leaf, record: JSON.parse(row.record as string) as JsonObject, proof }
}
