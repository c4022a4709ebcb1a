/**
 * Verifies an export offline, for whoever trusts a public key or a checkpoint that they kept. Says which record is not what
 * was signed, and whether the log was cut off, rolled back or is another. `scripts/audit-verifier.mjs` is the same for
 * people who do not want to trust this program.
 */
import { canonical } from './canonical.ts'
import type { Frame } from './frame.ts'
import { Frontier, leafHash, verifyConsistency, verifyInclusion } from './merkle.ts'
import { type Checkpoint, nextKeyOf, parseCheckpoint, parseNote, parseVerifier, signedBy } from './note.ts'

export interface Trusted {
  /** Public keys, as `name+id+key`. */
  readonly keys: readonly string[]
  /** Checkpoints that were kept, as notes. */
  readonly checkpoints: readonly string[]
}
export interface Verdict {
  readonly problems: string[]
  readonly records: number
  readonly checkpoint: Checkpoint | undefined
  /** What it was held against; nothing: it only agrees with itself. */
  readonly against: readonly string[]
}

const MOST_PROBLEMS = 100
const LINE = /^\{"hash":"([A-Za-z0-9+/]{43}=)","leaf":(\d{1,16}),(?:"proof":(\[[^\]]*\]),)?"record":(\{.*\})\}$/s
const bytes = (text: string): Buffer => Buffer.from(text, 'base64')

interface Header extends Frame {
  readonly format: string
  readonly whole: boolean
}

/** A root that the first `size` records must have, and who says so. */
interface Mark {
  readonly size: number
  readonly root: Buffer
  readonly who: string
}

export async function verifyExport(
  lines: AsyncIterable<string> | Iterable<string>,
  trusted: Trusted,
): Promise<Verdict> {
  const problems: string[] = []
  const against: string[] = []
  const complain = (problem: string): void => {
    if (problems.length < MOST_PROBLEMS) problems.push(problem)
  }
  let header: Header | undefined
  let checkpoint: Checkpoint | undefined
  let root = Buffer.alloc(0)
  let marks: Mark[] = []
  const frontier = new Frontier()
  let records = 0
  let expected = 0
  let lastSeq = -1n

  for await (const line of lines) {
    if (header === undefined) {
      try {
        header = readHeader(line)
        checkpoint = readCheckpoint(header)
        judgeKeys(header, checkpoint, trusted.keys, against, complain)
        marks = keptMarks(header, checkpoint, trusted.checkpoints, against, complain)
        root = rootOfTree(header, checkpoint)
      } catch (error) {
        return { problems: [`line 1: ${(error as Error).message}`], records: 0, checkpoint, against }
      }
      continue
    }
    const match = LINE.exec(line)
    if (!match) {
      complain(`line ${records + 2} is not a line of an export${leafIn(line)} (leaf ${expected} was expected)`)
      continue
    }
    const [, hash = '', leafText = '', proof, record = ''] = match
    const leaf = Number(leafText)
    const seq = seqOf(record)
    const name = seq === undefined ? `the record at leaf ${leaf}` : `record ${seq} at leaf ${leaf}`
    records++
    if (seq === undefined) complain(`${name} cannot be read`)
    else if (seq <= lastSeq) complain(`${name} comes after record ${lastSeq}`)
    else lastSeq = seq
    const computed = leafHash(Buffer.from(record))
    if (computed.toString('base64') !== hash)
      complain(`${name} is not what was written: its hash differs from its leaf`)
    if (header.whole ? leaf !== expected : leaf < expected) {
      complain(`${name} stands at leaf ${leaf}, and leaf ${expected} was expected: records are missing, added or moved`)
    }
    expected = leaf + 1
    if (!header.whole) {
      const path = proof === undefined ? [] : (JSON.parse(proof) as string[]).map(bytes)
      if (!verifyInclusion(leaf, header.size, computed, path, root)) complain(`${name} is not in the signed log`)
      continue
    }
    frontier.add(computed)
    while (marks[0] !== undefined && marks[0].size === frontier.size) {
      const mark = marks.shift() as Mark
      if (!frontier.root().equals(mark.root))
        complain(`the first ${mark.size} records are not those that ${mark.who} signed`)
    }
  }
  if (header === undefined || checkpoint === undefined) {
    return { problems: ['there is nothing in this file'], records: 0, checkpoint, against }
  }
  if (header.whole) {
    if (frontier.size !== header.size) complain(`${frontier.size} records are here, and ${header.size} were signed`)
    else if (!frontier.root().equals(root)) complain(`the ${header.size} records are not those that were signed`)
    for (const { size, who } of marks) if (size > 0) complain(`the ${size} records that ${who} signed are not all here`)
  }
  return { problems, records, checkpoint, against }
}

function readHeader(line: string): Header {
  const header = JSON.parse(line) as Header
  if (header.format !== 'stockyard-audit/1') throw new Error('this is not an export of an audit trail')
  if (canonical(header as never) !== line) throw new Error('the first line was changed')
  return header
}

function readCheckpoint(header: Header): Checkpoint {
  const note = parseNote(header.checkpoint)
  const checkpoint = parseCheckpoint(note.text)
  const current = header.epochs.at(-1)
  if (current === undefined) throw new Error('there is no key')
  if (!signedBy(note, parseVerifier(current.key))) throw new Error('the checkpoint is not signed by the newest key')
  if (checkpoint.origin !== header.origin) throw new Error(`the checkpoint is of another log (${checkpoint.origin})`)
  return checkpoint
}

type Complain = (problem: string) => void

/** Each key must be named by the last checkpoint of the key before, and that be continued; from the first trusted one on. */
function judgeKeys(
  { origin, epochs }: Header,
  checkpoint: Checkpoint,
  keys: readonly string[],
  against: string[],
  complain: Complain,
): void {
  const trusted = epochs.findIndex(({ key }) => keys.includes(key))
  if (keys.length > 0 && trusted < 0) complain('none of the trusted keys is a key of this log')
  if (trusted >= 0) against.push(`key ${epochs[trusted]?.key}`)
  for (const [i, { key, last, from, proof = [] }] of epochs.entries()) {
    const next = epochs[i + 1]
    if (next === undefined || i < trusted) continue
    const who = `the key that signed from record ${from} on`
    if (last === undefined) {
      complain(`${who} ended without naming the one after it: trust "${next.key}" explicitly, or nothing after it`)
      continue
    }
    const note = parseNote(last)
    const end = parseCheckpoint(note.text)
    if (!signedBy(note, parseVerifier(key))) complain(`the last checkpoint of ${who} is not signed by it`)
    else if (nextKeyOf(end) !== next.key) complain(`${who} did not name the one that came after it`)
    else if (end.origin !== origin) complain(`the last checkpoint of ${who} is of another log`)
    else if (!verifyConsistency(end.size, checkpoint.size, end.root, checkpoint.root, proof.map(bytes)))
      complain(`the first ${end.size} records are not those that ${who} signed`)
  }
}

function keptMarks(
  header: Header,
  checkpoint: Checkpoint,
  notes: readonly string[],
  against: string[],
  complain: Complain,
): Mark[] {
  const marks: Mark[] = []
  for (const text of notes) {
    const kept = parseCheckpoint(parseNote(text).text)
    const who = `the checkpoint that was kept (${kept.size} records)`
    against.push(who)
    if (kept.origin !== header.origin) complain(`${who} is of another log (${kept.origin})`)
    else if (kept.size > checkpoint.size) {
      complain(`${who} is of a longer log: this one has ${checkpoint.size} records, so it was cut off or rolled back`)
    } else if (header.organization === null && header.whole) marks.push({ size: kept.size, root: kept.root, who })
    else {
      const shown = header.consistency
      if (shown?.from !== kept.size) {
        complain(`the export does not show that it continues ${who}; export it with continues=${kept.size}`)
      } else if (!verifyConsistency(kept.size, checkpoint.size, kept.root, checkpoint.root, shown.proof.map(bytes))) {
        complain(`the log does not continue ${who}: history was changed`)
      }
    }
  }
  return marks.sort((a, b) => a.size - b.size)
}

/** Of the instance's tree the checkpoint says it; of an organization's, a leaf of the instance's tree. */
function rootOfTree({ organization, size, head }: Header, checkpoint: Checkpoint): Buffer<ArrayBuffer> {
  if (organization === null) {
    if (size !== checkpoint.size) throw new Error('the export and its checkpoint are of different sizes')
    return Buffer.from(checkpoint.root)
  }
  if (head === undefined) throw new Error('the head of the organization is missing')
  const record = head.record as { kind?: string; organization?: string; size?: string; root?: string }
  const leaf = leafHash(Buffer.from(canonical(head.record)))
  if (!verifyInclusion(head.leaf, checkpoint.size, leaf, head.proof.map(bytes), checkpoint.root)) {
    throw new Error('the head of the organization is not in the signed log')
  }
  if (record.kind !== 'head' || record.organization !== organization || record.size !== String(size)) {
    throw new Error('the head is not that of this organization and size')
  }
  return Buffer.from(record.root ?? '', 'base64')
}

/** Where a line that cannot be read says that it belongs. */
function leafIn(line: string): string {
  const leaf = /"leaf":(\d{1,16})\b/.exec(line)?.[1]
  return leaf === undefined ? '' : `: the record at leaf ${leaf}`
}

function seqOf(record: string): bigint | undefined {
  try {
    const { seq } = JSON.parse(record) as { seq?: unknown }
    return typeof seq === 'string' && /^\d{1,19}$/.test(seq) ? BigInt(seq) : undefined
  } catch {
    return undefined
  }
}
