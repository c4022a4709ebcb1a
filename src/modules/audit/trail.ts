/**
 * The trail itself, on its worker thread: gives each record its number, its place in its organization's tree and its
 * checkpoint, in one transaction with the cursors of the rows it came from. What was not committed is read again, so a crash
 * delays a leaf and neither loses nor doubles it. A log that is shorter than an anchor, or another one, is not extended.
 */
import { randomBytes } from 'node:crypto'
import type { Subject } from '../../core/module.ts'
import { type Bench, CORE_SOURCES, type CoreRow, type CoreSource } from '../../core/program.ts'
import type { JsonObject } from '../../core/request.ts'
import { DAY_MS, Epochs, readKeyFile } from './epochs.ts'
import { Leaves } from './leaves.ts'
import { checkpointText, parseCheckpoint, parseNote, type Signer, signNote } from './note.ts'
import { type Draft, type Sealed, seal } from './record.ts'
import { sealerOf } from './rows.ts'
import type { TiledTree } from './tiles.ts'

/** Records between two checkpoints, and milliseconds, while there is something to say. */
const CHECKPOINT_RECORDS = 1_000
const CHECKPOINT_MS = 10_000
const ROWS_PER_STEP = 1_000
/** Records that a record of an erasure names. */
const MOST_NAMED = 1_000
/** What a thread says that was started anew: it must be told to open the log first. */
export const NOT_OPEN = 'the audit trail is not open'

export interface Status {
  readonly origin: string
  /** Leaves of the instance's own tree, which the checkpoint is about. */
  readonly size: number
  readonly records: number
  readonly key: string
  readonly firstKey: string
  readonly checkpoint?: Published
  readonly halted?: string
  /** Core's rows that are not in the trail yet. */
  readonly behind: number
}
export interface Published {
  readonly id: number
  readonly at: number
  readonly size: number
  readonly note: string
}
export interface Step extends Status {
  /** There are more rows to take at once. */
  readonly more: boolean
}

export interface Kept {
  readonly note: string
  readonly where: string
}

export class Trail {
  readonly #bench: Bench
  readonly #leaves: Leaves
  readonly #cursors = new Map<CoreSource, number>()
  #origin = ''
  #epochs: Epochs | undefined
  #keyAt = 0
  #keyId = 0
  #published: Published | undefined
  #rememberedAt = 0
  #halted: string | undefined
  /** The key file knows of a log, and there is none. */
  #gone = false
  #keyLost = false
  /** Whether the last run said that it stopped. */
  #interrupted = false

  constructor(bench: Bench) {
    this.#bench = bench
    this.#leaves = new Leaves(bench)
  }

  /** Opens the log, or begins it under the origin that is wished. Says nothing about anchors yet. */
  open({ origin, now }: { readonly origin: string | undefined; readonly now: number }): Status {
    if (this.#origin !== '') return this.status()
    const known = this.#leaves.fact('origin')
    const kept = readKeyFile(this.#bench.keyFile)
    this.#loadCursors()
    if (known === undefined) this.#begin(kept.former?.origin, origin, now, kept)
    else this.#continue(known, kept, now)
    this.#interrupted = this.#leaves.fact('running') === '1'
    return this.status()
  }

  status(): Status {
    const keys = this.#keys()
    return {
      origin: this.#origin,
      size: this.#leaves.tree(undefined).size,
      records: this.#leaves.seq + 1,
      key: this.#epochs?.signer.verifier.text ?? '',
      firstKey: keys[0]?.verifier ?? '',
      behind: this.#behind(),
      ...(this.#published ? { checkpoint: this.#published } : {}),
      ...(this.#halted === undefined ? {} : { halted: this.#halted }),
    }
  }

  /** Compares the log with checkpoints that were kept elsewhere. One that does not continue them is not extended. */
  compare({ kept, now }: { readonly kept: readonly Kept[]; readonly now: number }): string | undefined {
    if (this.#gone) return this.#halted
    const own = this.#epochs?.checkpoint
    const all = own === undefined ? kept : [{ note: own, where: 'the key file' }, ...kept]
    this.#halted = undefined
    for (const { note, where } of all) {
      const problem = this.#differs(note)
      if (problem !== undefined) this.#halted ??= `${where}: ${problem}`
    }
    if (this.#halted === undefined && this.#keyLost) this.#beginKey(now)
    return this.#halted
  }

  /** A record of the trail itself: it started, or stopped. */
  mark({ action, facts, now }: { readonly action: string; readonly facts: JsonObject; readonly now: number }): void {
    const interrupted = action === 'audit.start' && this.#interrupted ? { interrupted: true } : {}
    this.#commit(() => {
      this.#add({ at: now, kind: 'audit', facts: { actor: 'system', action, ...facts, ...interrupted } })
      this.#leaves.run('setFact', 'running', action === 'audit.stop' ? '0' : '1')
    })
    this.#interrupted = false
  }

  /** On the disk when it returns. */
  append({
    records,
    salts,
  }: {
    readonly records: readonly Sealed[]
    readonly salts: readonly (Uint8Array | null)[]
  }): number {
    this.#commit(() => {
      for (const [i, record] of records.entries()) {
        const seq = this.#leaves.add(record)
        const salt = salts[i]
        if (salt) this.#leaves.run('addSalt', seq, salt)
      }
    })
    return this.#leaves.seq
  }

  /** Whether the file can be written: a record could be taken. */
  probe(now: number): void {
    this.#commit(() => this.#leaves.run('setFact', 'probed', String(now)))
  }

  /** Takes rows of core's, changes the key once a day, and publishes a checkpoint when one is due. */
  step({ now, force }: { readonly now: number; readonly force?: boolean }): Step {
    if (this.#origin === '') throw new Error(NOT_OPEN)
    if (this.#halted !== undefined) return { ...this.status(), more: false }
    const more = this.#take()
    if (now - this.#keyAt >= DAY_MS) this.changeKey({ now })
    const size = this.#leaves.tree(undefined).size
    const last = this.#published
    const grown = last === undefined || this.#leaves.seq + 1 > Number(this.#leaves.fact('checkpointed') ?? 0)
    const due =
      last === undefined ||
      size - last.size >= CHECKPOINT_RECORDS ||
      this.#leaves.seq + 1 - Number(this.#leaves.fact('checkpointed') ?? 0) >= CHECKPOINT_RECORDS ||
      now - last.at >= CHECKPOINT_MS
    if (grown && (force || due)) this.#publish(now, this.#ready().signer)
    return { ...this.status(), more }
  }

  /** The old key signs for the last time, and what it signs names the new one. */
  changeKey({ now }: { readonly now: number }): void {
    const epochs = this.#ready()
    const old = epochs.signer
    const next = epochs.prepare()
    this.#commit(() => {
      this.#add({
        at: now,
        kind: 'audit',
        facts: { actor: 'system', action: 'audit.key', before: old.verifier.text, after: next.verifier.text },
      })
      this.#checkpoint(now, old, next.verifier.text)
      this.#leaves.run('addKey', now, this.#leaves.tree(undefined).size, next.verifier.text)
    })
    epochs.adopt(next)
    this.#keyAt = now
    this.#keyId = this.#keys().at(-1)?.id ?? 0
    this.#publish(now, next)
  }

  /** Forgets the salts of a subject's commitments, on the disk as well: what they were about can be proven no more. */
  erase({ exchange, principal, user, endUser, actor, now }: Subject & { readonly now: number }): number {
    const values = [exchange, principal, user, endUser].map((value) => value ?? null)
    const seqs = this.#leaves
      .statement('saltsOf')
      .all(...values)
      .map((row) => row.seq as number)
    if (seqs.length === 0) return 0
    const facts = { actor, action: 'audit.erase', records: seqs.slice(0, MOST_NAMED).map(String), count: seqs.length }
    this.#commit(() => {
      for (const seq of seqs) this.#leaves.run('dropSalt', seq)
      this.#add({ at: now, kind: 'audit', facts })
    })
    this.#leaves.statement('emptyLog').all()
    return seqs.length
  }

  get published(): Published | undefined {
    return this.#published
  }

  /** The tree of an organization, or the instance's; for proofs. */
  tree(organization: string | undefined): TiledTree | undefined {
    return this.#leaves.has(organization) ? this.#leaves.tree(organization) : undefined
  }

  get origin(): string {
    return this.#origin
  }

  #begin(
    former: string | undefined,
    wished: string | undefined,
    now: number,
    kept: ReturnType<typeof readKeyFile>,
  ): void {
    const name = `${wished ?? 'stockyard'}/${randomBytes(6).toString('hex')}`
    if (kept.checkpoint !== undefined && former === undefined) {
      // The key file knows of a log: audit.db was removed. Its name is kept, so that nothing looks like a fresh start.
      this.#origin = kept.origin ?? name
      this.#epochs = new Epochs(this.#bench.keyFile, kept as never)
      this.#gone = true
      this.#halted = `the key file: the log ends before its checkpoint of ${sizeOf(kept.checkpoint)}: audit.db is empty`
      return
    }
    this.#origin = name
    const epochs = Epochs.begin(this.#bench.keyFile, name)
    this.#epochs = epochs
    this.#keyAt = now
    this.#commit(() => {
      this.#leaves.run('setFact', 'origin', name)
      this.#leaves.run('addKey', now, 0, epochs.signer.verifier.text)
      if (kept.former) {
        const { reason, ...former } = kept.former
        this.#add({
          at: now,
          kind: 'audit',
          facts: { actor: 'system', action: 'audit.continue', reason, former },
        })
        this.#leaves.run('setFact', 'former', kept.former.origin)
      }
    })
    this.#keyId = this.#keys().at(-1)?.id ?? 0
  }

  #continue(origin: string, kept: ReturnType<typeof readKeyFile>, now: number): void {
    this.#origin = origin
    const current = this.#keys().at(-1)
    this.#keyAt = current?.at ?? now
    this.#keyId = current?.id ?? 0
    const newest = this.#leaves.statement('newestCheckpoint').get()
    this.#published = newest as unknown as Published | undefined
    if (kept.seed !== undefined && kept.origin === origin) {
      this.#epochs = new Epochs(this.#bench.keyFile, kept as never)
      if (this.#epochs.settle(current?.verifier ?? '')) return
    }
    this.#keyLost = true
  }

  /** The private half is not here (a restored backup never has it): a key begins that no old one vouches for. */
  #beginKey(now: number): void {
    const before = this.#keys().at(-1)?.verifier ?? ''
    this.#epochs = Epochs.begin(this.#bench.keyFile, this.#origin)
    const { verifier } = this.#epochs.signer
    this.#commit(() => {
      const facts = { actor: 'system', action: 'audit.key-lost', before, after: verifier.text }
      this.#add({ at: now, kind: 'audit', facts })
      this.#leaves.run('addKey', now, this.#leaves.tree(undefined).size, verifier.text)
    })
    this.#keyLost = false
    this.#keyAt = now
    this.#keyId = this.#keys().at(-1)?.id ?? 0
  }

  #ready(): Epochs {
    if (this.#epochs === undefined || this.#keyLost) throw new Error('the log was not compared with its anchors yet')
    return this.#epochs
  }

  #loadCursors(): void {
    for (const source of CORE_SOURCES) {
      this.#cursors.set(source, (this.#leaves.statement('cursor').get(source)?.row as number | undefined) ?? 0)
    }
  }

  #differs(note: string): string | undefined {
    let kept: ReturnType<typeof parseCheckpoint>
    try {
      kept = parseCheckpoint(parseNote(note).text)
    } catch (error) {
      return `what was kept there is not a checkpoint (${(error as Error).message})`
    }
    if (kept.origin === this.#leaves.fact('former')) return undefined
    if (kept.origin !== this.#origin) return `a checkpoint of another log (${kept.origin}) was kept there`
    const tree = this.#leaves.tree(undefined)
    if (kept.size > tree.size) return `the log has ${tree.size} records and had ${kept.size}: its end was cut off`
    if (!tree.root(kept.size).equals(kept.root)) return `the first ${kept.size} records are not those that were signed`
    return undefined
  }

  /** True if there are more rows than one step takes. */
  #take(): boolean {
    let more = false
    for (const source of CORE_SOURCES) {
      const cursor = this.#cursors.get(source) ?? 0
      const rows = this.#bench.rows.after(source, cursor, ROWS_PER_STEP)
      if (rows.length === 0) {
        if (cursor > 0) this.#lookForLoss(source, cursor)
        continue
      }
      more ||= rows.length === ROWS_PER_STEP
      const next = rows.at(-1)?.row as number
      const sealed = sealerOf(source, rows[0] as CoreRow)
      this.#commit(() => {
        for (const row of rows) this.#leaves.add(sealed(row))
        this.#leaves.run('setCursor', source, next)
      })
      this.#cursors.set(source, next)
    }
    return more
  }

  /** Rows that the trail has and core has not: lost with the power, or removed. The numbers after them are read again. */
  #lookForLoss(source: CoreSource, cursor: number): void {
    const newest = this.#bench.rows.newest(source)
    if (newest >= cursor) return
    const facts = { actor: 'system', action: 'audit.rows-gone', object: source, before: cursor, after: newest }
    this.#commit(() => {
      this.#add({ at: Date.now(), kind: 'audit', facts })
      this.#leaves.run('setCursor', source, newest)
    })
    this.#cursors.set(source, newest)
  }

  #behind(): number {
    let behind = 0
    for (const source of CORE_SOURCES) behind += this.#bench.rows.newest(source) - (this.#cursors.get(source) ?? 0)
    return Math.max(0, behind)
  }

  #publish(now: number, signer: Signer): void {
    this.#commit(() => this.#checkpoint(now, signer))
    if (this.#published && now - this.#rememberedAt >= CHECKPOINT_MS) {
      this.#rememberedAt = now
      this.#ready().remember(this.#published.note)
    }
  }

  /** Before the end: the key file has the newest checkpoint. */
  rest(): void {
    if (this.#published && this.#halted === undefined) this.#ready().remember(this.#published.note)
  }

  /** Inside a transaction: the heads of the organizations' trees, then the signature over the whole. */
  #checkpoint(now: number, signer: Signer, nextKey?: string): void {
    for (const { id, organization, size } of this.#leaves.statement('headless').all()) {
      const root = this.#leaves.tree(organization as string).root()
      const facts = { organization: organization as string, size: String(size), root: root.toString('base64') }
      this.#add({ at: now, kind: 'head', facts })
      this.#leaves.run('setHead', id as number)
    }
    const tree = this.#leaves.tree(undefined)
    const note = signNote(checkpointText(this.#origin, tree.size, tree.root(), nextKey), signer)
    this.#leaves.run('addCheckpoint', now, tree.size, this.#keyId, nextKey === undefined ? 0 : 1, note)
    this.#leaves.run('setFact', 'checkpointed', String(this.#leaves.seq + 1))
    this.#published = this.#leaves.statement('newestCheckpoint').get() as unknown as Published
  }

  #add(draft: Draft): void {
    this.#leaves.add(seal(draft))
  }

  #commit(work: () => void): void {
    if (this.#halted !== undefined) throw new Error(`the audit trail is not extended: ${this.#halted}`)
    if (this.#origin === '') throw new Error(NOT_OPEN)
    const published = this.#published
    try {
      this.#leaves.commit(work)
    } catch (error) {
      this.#published = published
      this.#loadCursors()
      throw error
    }
  }

  #keys(): { id: number; at: number; size: number; verifier: string }[] {
    return this.#leaves.statement('keys').all() as never
  }
}

const sizeOf = (note: string): string => {
  try {
    return `${parseCheckpoint(parseNote(note).text).size} records`
  } catch {
    return 'an unknown size'
  }
}
