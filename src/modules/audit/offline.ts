/** Verifies the trail's own file, without the gateway and without its key: every tree of it against the newest checkpoint. */
import { canonical } from './canonical.ts'
import { FORMAT } from './export.ts'
import { type Frame, frameOf, type Statement, storedTree } from './frame.ts'
import type { TiledTree } from './tiles.ts'
import { ExportVerifier, type Trusted, type Verdict } from './verify.ts'

export interface TreeVerdict extends Verdict {
  readonly organization: string | null
}

/** Undefined if nothing was ever signed. Throws on a file that is no trail. */
export function verifyFile(statement: Statement, trusted: Trusted): TreeVerdict[] | undefined {
  const origin = statement('fact').get('origin')?.value as string | undefined
  const signed = statement('newestCheckpoint').get() as { note: string; size: number } | undefined
  const instance = storedTree(statement, undefined)
  if (origin === undefined || signed === undefined || instance === undefined) return undefined
  const verdicts: TreeVerdict[] = []
  const organizations = statement('organizations')
    .all()
    .map((row) => row.organization as string)
  for (const organization of [undefined, ...organizations]) {
    const tree = organization === undefined ? instance : storedTree(statement, organization)
    const frame = frameOf(statement, { origin, instance, signed, organization })
    if (tree === undefined || frame === undefined) continue
    // A kept checkpoint is about the instance's tree, which the others hang on.
    const against = organization === undefined ? trusted : { ...trusted, checkpoints: [] }
    verdicts.push({
      organization: organization ?? null,
      ...verifyTree(statement, tree, frame, against),
    })
  }
  return verdicts
}

function verifyTree(statement: Statement, tree: TiledTree, frame: Frame, trusted: Trusted): Verdict {
  const verifier = new ExportVerifier(canonical({ ...frame, format: FORMAT, whole: true } as never), trusted)
  const id = statement('treeOf').get(frame.organization)?.id as number
  const leaves = statement('leaves')
  for (let from = 0; from < frame.size; ) {
    const rows = leaves.all(id, from, frame.size)
    if (rows.length === 0) break
    for (const row of rows) {
      const leaf = row.leaf as number
      verifier.record(leaf, tree.leaf(leaf), row.record as string, [])
      from = leaf + 1
    }
  }
  return verifier.end()
}
