/** Verifies the trail's own file, without the gateway and without its key: every tree of it against the newest checkpoint. */
import { canonical } from './canonical.ts'
import { FORMAT } from './export.ts'
import { type Frame, frameOf, type Statement, storedTree } from './frame.ts'
import type { TiledTree } from './tiles.ts'
import { type Trusted, type Verdict, verifyExport } from './verify.ts'

export interface TreeVerdict extends Verdict {
  readonly organization: string | null
}

/** Undefined if nothing was ever signed. Throws on a file that is no trail. */
export async function verifyFile(statement: Statement, trusted: Trusted): Promise<TreeVerdict[] | undefined> {
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
      ...(await verifyExport(linesOf(statement, tree, frame, organization), against)),
    })
  }
  return verdicts
}

function* linesOf(
  statement: Statement,
  tree: TiledTree,
  frame: Frame,
  organization: string | undefined,
): Generator<string> {
  yield canonical({ ...frame, format: FORMAT, whole: true } as never)
  const id = statement('treeOf').get(organization ?? null)?.id as number
  const leaves = statement('leaves')
  for (let from = 0; from < frame.size; ) {
    const rows = leaves.all(id, from, frame.size)
    if (rows.length === 0) return
    for (const row of rows) {
      const leaf = row.leaf as number
      yield `{"hash":"${tree.leaf(leaf).toString('base64')}","leaf":${leaf},"record":${row.record}}`
      from = leaf + 1
    }
  }
}
