/** What the trail's worker thread can be asked: to take records in, to publish checkpoints, to prove. */
import type { Bench, BenchStatement, Program } from '../../core/program.ts'
import type { JsonObject } from '../../core/request.ts'
import { type Frame, frameOf, type Proven, type Statement, texts } from './frame.ts'
import { consistencyProof, inclusionProof } from './merkle.ts'
import { Trail } from './trail.ts'

export interface ProofAnswer extends Proven {
  readonly frame: Frame
}

export const audit: Program = {
  start(bench: Bench) {
    const trail = new Trail(bench)
    const prepared = new Map<string, BenchStatement>()
    const statement: Statement = (name) => {
      let found = prepared.get(name)
      if (found === undefined) {
        found = bench.statement(name)
        prepared.set(name, found)
      }
      return found
    }
    const record = bench.statement('record')
    const treeName = bench.statement('treeName')
    const lasts = bench.statement('lastCheckpoints')
    bench.statement('secureDelete').all()

    const checkpoint = (now: number) => {
      trail.step({ now, force: true })
      const published = trail.published
      if (published === undefined) throw new Error('the log has no checkpoint yet')
      return published
    }

    function frame(organization: string | undefined, now: number, continues?: number): Frame | undefined {
      const signed = checkpoint(now)
      const instance = trail.tree(undefined)
      return instance && frameOf(statement, { origin: trail.origin, instance, signed, organization, continues })
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
        if (around === undefined) return undefined
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
