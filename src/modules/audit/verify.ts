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

/** Takes the lines of an export, without their ends. */
export async function verifyExport(
  lines: AsyncIterable<string> | Iterable<string>,
  trusted: Trusted,
): Promise<Verdict> {
  let verifier: ExportVerifier | undefined
  for await (const line of lines) {
    if (verifier) verifier.line(line)
    else verifier = new ExportVerifier(line, trusted)
  }
  return (
    verifier?.end() ?? { problems: ['there is nothing in this file'], records: 0, checkpoint: undefined, against: [] }
  )
}

/** Holds one record after another against the frame that came first. */
export class ExportVerifier {
  readonly #problems: string[] = []
  readonly #against: string[] = []
  readonly #frontier = new Frontier()
  #header: Header | undefined
  #checkpoint: Checkpoint | undefined
  #root = Buffer.alloc(0)
  #marks: Mark[] = []
  #records = 0
  #expected = 0
  #lastSeq = -1n

  constructor(frame: string, trusted: Trusted) {
    try {
      const header = readHeader(frame)
      const checkpoint = readCheckpoint(header)
      judgeKeys(header, checkpoint, trusted.keys, this.#against, this.#complain)
      this.#marks = keptMarks(header, checkpoint, trusted.checkpoints, this.#against, this.#complain)
      this.#root = rootOfTree(header, checkpoint)
      this.#checkpoint = checkpoint
      this.#header = header
    } catch (error) {
      this.#complain(`line 1: ${(error as Error).message}`)
    }
  }

  line(line: string): void {
    const match = LINE.exec(line)
    if (match) {
      const [, hash = '', leaf = '', proof, record = ''] = match
      this.record(
        Number(leaf),
        bytes(hash),
        record,
        proof === undefined ? [] : (JSON.parse(proof) as string[]).map(bytes),
      )
    } else this.#complain(`a line is not one of an export${leafIn(line)} (leaf ${this.#expected} was expected)`)
  }

  record(leaf: number, hash: Buffer, record: string, proof: readonly Buffer[]): void {
    const header = this.#header
    if (header === undefined) return
    const seq = seqOf(record)
    const name = (): string => (seq === undefined ? `the record at leaf ${leaf}` : `record ${seq} at leaf ${leaf}`)
    this.#records++
    if (seq === undefined) this.#complain(`${name()} cannot be read`)
    else if (seq <= this.#lastSeq) this.#complain(`${name()} comes after record ${this.#lastSeq}`)
    else this.#lastSeq = seq
    const computed = leafHash(record)
    if (!computed.equals(hash)) this.#complain(`${name()} is not what was written: its hash differs from its leaf`)
    if (header.whole ? leaf !== this.#expected : leaf < this.#expected) {
      this.#complain(`${name()} stands where leaf ${this.#expected} was expected: records are missing, added or moved`)
    }
    this.#expected = leaf + 1
    if (header.whole) this.#grow(computed)
    else if (!verifyInclusion(leaf, header.size, computed, proof, this.#root)) {
      this.#complain(`${name()} is not in the signed log`)
    }
  }

  #grow(leaf: Buffer): void {
    this.#frontier.add(leaf)
    while (this.#marks[0] !== undefined && this.#marks[0].size === this.#frontier.size) {
      const { size, root, who } = this.#marks.shift() as Mark
      if (!this.#frontier.root().equals(root))
        this.#complain(`the first ${size} records are not those that ${who} signed`)
    }
  }

  /** What it came to if this is the end; more may follow. */
  end(): Verdict {
    const { size } = this.#frontier
    const problems = [...this.#problems]
    if (this.#header?.whole) {
      if (size !== this.#header.size) problems.push(`${size} records are here, and ${this.#header.size} were signed`)
      else if (!this.#frontier.root().equals(this.#root)) {
        problems.push(`the ${size} records are not those that were signed`)
      }
    }
    return { problems, records: this.#records, checkpoint: this.#checkpoint, against: this.#against }
  }

  readonly #complain = (problem: string): void => {
    if (this.#problems.length < MOST_PROBLEMS) this.#problems.push(problem)
  }
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
  const leaf = leafHash(canonical(head.record))
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
