/** What the trail's worker thread can be asked: to take records in, to publish checkpoints, to prove. */
import type { Bench, Program } from '../../core/program.ts'
import type { JsonObject } from '../../core/request.ts'
import { consistencyProof, inclusionProof } from './merkle.ts'
import { Trail } from './trail.ts'

/** One key of the log: from which size on it signed, its last checkpoint, and the proof that the log continues that. */
export interface Epoch {
  readonly key: string
  readonly from: number
  readonly last?: string
  readonly proof?: readonly string[]
}
/** What stands before the records of an export, and around a proof: everything but records that a verifier needs. */
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
export interface ProofAnswer extends Proven {
  readonly frame: Frame
}

const texts = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('base64'))

export const audit: Program = {
  start(bench: Bench) {
    const trail = new Trail(bench)
    const record = bench.statement('record')
    const treeName = bench.statement('treeName')
    const headOf = bench.statement('headOf')
    const keys = bench.statement('keys')
    const lasts = bench.statement('lastCheckpoints')
    bench.statement('secureDelete').all()

    const checkpoint = (now: number) => {
      trail.step({ now, force: true })
      const published = trail.published
      if (published === undefined) throw new Error('the log has no checkpoint yet')
      return published
    }

    function frame(organization: string | undefined, now: number, from?: number): Frame {
      const { note, size } = checkpoint(now)
      const instance = trail.tree(undefined)
      const tree = trail.tree(organization)
      if (tree === undefined || instance === undefined) throw new Error('not-found')
      const ended = new Map(lasts.all().map((row) => [row.key, row]))
      const epochs = keys.all().map(({ id, size: from, verifier }): Epoch => {
        const epoch = { key: verifier as string, from: from as number }
        const last = ended.get(id as number)
        if (last === undefined) return epoch
        const proof = texts(consistencyProof(instance.subtrees, last.size as number, size))
        return { ...epoch, last: last.note as string, proof }
      })
      const head = organization === undefined ? undefined : headFor(organization, tree.size, size)
      return {
        origin: trail.origin,
        organization: organization ?? null,
        checkpoint: note,
        size: organization === undefined ? size : tree.size,
        epochs,
        ...(head === undefined ? {} : { head }),
        ...(from === undefined || from > size
          ? {}
          : { consistency: { from, proof: texts(consistencyProof(instance.subtrees, from, size)) } }),
      }
    }

    /** The newest head of an organization, proven in the instance's tree of `size`. */
    function headFor(organization: string, leaves: number, size: number): Proven {
      const row = headOf.get(organization, leaves)
      const tree = trail.tree(undefined)
      if (row === undefined || tree === undefined) throw new Error('not-found')
      const leaf = row.leaf as number
      return {
        leaf,
        record: JSON.parse(row.record as string) as JsonObject,
        proof: texts(inclusionProof(tree.subtrees, leaf, size)),
      }
    }

    return {
      open: (argument: Parameters<Trail['open']>[0]) => trail.open(argument),
      compare: (argument: Parameters<Trail['compare']>[0]) => trail.compare(argument),
      mark: (argument: Parameters<Trail['mark']>[0]) => trail.mark(argument),
      append: (argument: Parameters<Trail['append']>[0]) => trail.append(argument),
      step: (argument: Parameters<Trail['step']>[0]) => trail.step(argument),
      changeKey: (argument: Parameters<Trail['changeKey']>[0]) => trail.changeKey(argument),
      probe: (now: number) => trail.probe(now),
      status: () => trail.status(),
      rest: () => trail.rest(),
      checkpoint: ({ now }: { now: number }) => checkpoint(now),
      frame: ({ organization, now, from }: { organization?: string; now: number; from?: number }) =>
        frame(organization, now, from),
      /** Undefined if there is no such record. */
      proof({ seq, now }: { seq: number; now: number }): ProofAnswer | undefined {
        const row = record.get(seq)
        if (row === undefined) return undefined
        const organization = treeName.get(row.tree as number)?.organization as string | null
        const around = frame(organization ?? undefined, now)
        const tree = trail.tree(organization ?? undefined)
        const leaf = row.leaf as number
        return {
          leaf,
          record: JSON.parse(row.record as string) as JsonObject,
          proof: tree === undefined ? [] : texts(inclusionProof(tree.subtrees, leaf, around.size)),
          frame: around,
        }
      },
      /** Leaf hashes as the tree has them, whatever the records say now. */
      leaves({ organization, from, to }: { organization?: string; from: number; to: number }): Uint8Array {
        const tree = trail.tree(organization)
        const hashes: Buffer[] = []
        for (let leaf = from; leaf < to; leaf++) if (tree) hashes.push(tree.leaf(leaf))
        return Buffer.concat(hashes)
      },
      paths({ organization, size, leaves }: { organization?: string; size: number; leaves: readonly number[] }) {
        const tree = trail.tree(organization)
        return tree === undefined ? [] : leaves.map((leaf) => texts(inclusionProof(tree.subtrees, leaf, size)))
      },
      consistency({ from, to, now }: { from: number; to: number | undefined; now: number }) {
        const { size, note } = checkpoint(now)
        const tree = trail.tree(undefined)
        const end = to ?? size
        if (tree === undefined || from < 1 || from > end || end > size) return undefined
        return {
          from,
          to: end,
          rootFrom: tree.root(from).toString('base64'),
          rootTo: tree.root(end).toString('base64'),
          proof: texts(consistencyProof(tree.subtrees, from, end)),
          checkpoint: note,
        }
      },
      /** From one size to another, both of checkpoints that are signed already. */
      between({ from, to }: { from: number; to: number }) {
        const tree = trail.tree(undefined)
        if (tree === undefined || from > to || to > tree.size) return undefined
        return { proof: texts(consistencyProof(tree.subtrees, from, to)) }
      },
      /** Checkpoints since one that was seen, those with which a key ended and the newest: what a witness has to see. */
      since({ size }: { size: number }): string[] {
        const newest = trail.published
        const ended = lasts.all().filter((row) => (row.size as number) > size)
        return [...ended.map((row) => row.note as string), ...(newest ? [newest.note] : [])]
      },
      erase: (subject: Parameters<Trail['erase']>[0]) => trail.erase(subject),
      salt: ({ seq }: { seq: number }) => bench.statement('salt').get(seq)?.salt,
    }
  },
}
