/**
 * The trail itself, on its worker thread: gives each record its number, its place in its organization's tree and its
 * checkpoint, in one transaction with the cursors of the rows it came from. What was not committed is read again, so a crash
 * delays a leaf and neither loses nor doubles it. A log that is shorter than an anchor, or another one, is not extended.
 */
import { randomBytes } from 'node:crypto'
import type { Subject } from '../../core/module.ts'
import { type Bench, type BenchStatement, CORE_SOURCES, type CoreSource } from '../../core/program.ts'
import type { JsonObject } from '../../core/request.ts'
import { canonical } from './canonical.ts'
import { DAY_MS, Epochs, readKeyFile } from './epochs.ts'
import { leafHash } from './merkle.ts'
import { checkpointText, parseCheckpoint, parseNote, type Signer, signNote } from './note.ts'
import { type Draft, draftOf, recordOf } from './record.ts'
import { TiledTree } from './tiles.ts'

/** Records between two checkpoints, and milliseconds, while there is something to say. */
const CHECKPOINT_RECORDS = 1_000
const CHECKPOINT_MS = 10_000
const ROWS_PER_STEP = 1_000
/** Records that a record of an erasure names. */
const MOST_NAMED = 1_000
/** Trees whose right edge is in memory. */
const MOST_TREES = 256

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

interface Tree {
  readonly id: number
  readonly tree: TiledTree
}

export class Trail {
  readonly #bench: Bench
  readonly #statements = new Map<string, BenchStatement>()
  readonly #trees = new Map<string, Tree>()
  readonly #cursors = new Map<CoreSource, number>()
  #seq = -1
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
  }

  /** Opens the log, or begins it under the origin that is wished. Says nothing about anchors yet. */
  open({ origin, now }: { readonly origin: string | undefined; readonly now: number }): Status {
    if (this.#origin !== '') return this.status()
    const known = this.#fact('origin')
    const kept = readKeyFile(this.#bench.keyFile)
    this.#load()
    if (known === undefined) this.#begin(kept.former?.origin, origin, now, kept)
    else this.#continue(known, kept, now)
    this.#interrupted = this.#fact('running') === '1'
    return this.status()
  }

  status(): Status {
    const keys = this.#keys()
    return {
      origin: this.#origin,
      size: this.#treeOf(undefined).tree.size,
      records: this.#seq + 1,
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
      this.#run('setFact', 'running', action === 'audit.stop' ? '0' : '1')
    })
    this.#interrupted = false
  }

  /** On the disk when it returns. Each text is a draft as JSON. */
  append({
    drafts,
    salts,
  }: {
    readonly drafts: readonly string[]
    readonly salts: readonly (Uint8Array | null)[]
  }): number {
    this.#commit(() => {
      for (const [i, text] of drafts.entries()) {
        const seq = this.#add(JSON.parse(text) as Draft)
        const salt = salts[i]
        if (salt) this.#run('addSalt', seq, salt)
      }
    })
    return this.#seq
  }

  /** Whether the file can be written: a record could be taken. */
  probe(now: number): void {
    this.#commit(() => this.#run('setFact', 'probed', String(now)))
  }

  /** Takes rows of core's, changes the key once a day, and publishes a checkpoint when one is due. */
  step({ now, force }: { readonly now: number; readonly force?: boolean }): Step {
    if (this.#halted !== undefined) return { ...this.status(), more: false }
    const more = this.#take()
    if (now - this.#keyAt >= DAY_MS) this.changeKey({ now })
    const size = this.#treeOf(undefined).tree.size
    const last = this.#published
    const grown = last === undefined || this.#seq + 1 > Number(this.#fact('checkpointed') ?? 0)
    const due =
      last === undefined ||
      size - last.size >= CHECKPOINT_RECORDS ||
      this.#seq + 1 - Number(this.#fact('checkpointed') ?? 0) >= CHECKPOINT_RECORDS ||
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
      this.#run('addKey', now, this.#treeOf(undefined).tree.size, next.verifier.text)
    })
    epochs.adopt(next)
    this.#keyAt = now
    this.#keyId = this.#keys().at(-1)?.id ?? 0
    this.#publish(now, next)
  }

  /** Forgets the salts of a subject's commitments, on the disk as well: what they were about can be proven no more. */
  erase({ exchange, principal, user, endUser, actor, now }: Subject & { readonly now: number }): number {
    const values = [exchange, principal, user, endUser].map((value) => value ?? null)
    const seqs = this.#statement('saltsOf')
      .all(...values)
      .map((row) => row.seq as number)
    if (seqs.length === 0) return 0
    const facts = { actor, action: 'audit.erase', records: seqs.slice(0, MOST_NAMED).map(String), count: seqs.length }
    this.#commit(() => {
      for (const seq of seqs) this.#run('dropSalt', seq)
      this.#add({ at: now, kind: 'audit', facts })
    })
    this.#statement('emptyLog').all()
    return seqs.length
  }

  get published(): Published | undefined {
    return this.#published
  }

  /** The tree of an organization, or the instance's; for proofs. */
  tree(organization: string | undefined): TiledTree | undefined {
    if (this.#statement('treeOf').get(organization ?? null) === undefined) return undefined
    return this.#treeOf(organization).tree
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
      this.#run('setFact', 'origin', name)
      this.#run('addKey', now, 0, epochs.signer.verifier.text)
      if (kept.former) {
        const { reason, ...former } = kept.former
        this.#add({ at: now, kind: 'audit', facts: { actor: 'system', action: 'audit.continue', reason, former } })
        this.#run('setFact', 'former', kept.former.origin)
      }
    })
    this.#keyId = this.#keys().at(-1)?.id ?? 0
  }

  #continue(origin: string, kept: ReturnType<typeof readKeyFile>, now: number): void {
    this.#origin = origin
    const current = this.#keys().at(-1)
    this.#keyAt = current?.at ?? now
    this.#keyId = current?.id ?? 0
    const newest = this.#statement('newestCheckpoint').get()
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
      this.#run('addKey', now, this.#treeOf(undefined).tree.size, verifier.text)
    })
    this.#keyLost = false
    this.#keyAt = now
    this.#keyId = this.#keys().at(-1)?.id ?? 0
  }

  #ready(): Epochs {
    if (this.#epochs === undefined || this.#keyLost) throw new Error('the log was not compared with its anchors yet')
    return this.#epochs
  }

  #load(): void {
    this.#seq = this.#statement('last').get()?.seq as number
    for (const source of CORE_SOURCES) {
      this.#cursors.set(source, (this.#statement('cursor').get(source)?.row as number | undefined) ?? 0)
    }
  }

  #differs(note: string): string | undefined {
    let kept: ReturnType<typeof parseCheckpoint>
    try {
      kept = parseCheckpoint(parseNote(note).text)
    } catch (error) {
      return `what was kept there is not a checkpoint (${(error as Error).message})`
    }
    if (kept.origin === this.#fact('former')) return undefined
    if (kept.origin !== this.#origin) return `a checkpoint of another log (${kept.origin}) was kept there`
    const { tree } = this.#treeOf(undefined)
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
      this.#commit(() => {
        for (const row of rows) this.#add(draftOf(source, row))
        this.#run('setCursor', source, next)
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
      this.#run('setCursor', source, newest)
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
    for (const { id, organization, size } of this.#statement('headless').all()) {
      const root = this.#treeOf(organization as string).tree.root()
      const facts = { organization: organization as string, size: String(size), root: root.toString('base64') }
      this.#add({ at: now, kind: 'head', facts })
      this.#run('setHead', id as number)
    }
    const { tree } = this.#treeOf(undefined)
    const note = signNote(checkpointText(this.#origin, tree.size, tree.root(), nextKey), signer)
    this.#run('addCheckpoint', now, tree.size, this.#keyId, nextKey === undefined ? 0 : 1, note)
    this.#run('setFact', 'checkpointed', String(this.#seq + 1))
    this.#published = this.#statement('newestCheckpoint').get() as unknown as Published
  }

  #add(draft: Draft): number {
    const seq = this.#seq + 1
    const text = canonical(recordOf(seq, draft))
    // A head is a leaf of the instance's tree, whichever organization it is about.
    const place = this.#treeOf(draft.organization)
    const leaf = place.tree.size
    this.#run('add', seq, place.id, leaf, draft.at, draft.kind, draft.exchange ?? null, text)
    place.tree.add(leafHash(text))
    this.#seq = seq
    this.#touched.add(place)
    return seq
  }

  readonly #touched = new Set<Tree>()

  /** One transaction; if it fails, memory is what the disk is. */
  #commit(work: () => void): void {
    if (this.#halted !== undefined) throw new Error(`the audit trail is not extended: ${this.#halted}`)
    const published = this.#published
    try {
      this.#bench.transaction(() => {
        work()
        for (const { id, tree } of this.#touched) {
          tree.save()
          this.#run('grow', tree.size, id)
        }
      })
    } catch (error) {
      this.#trees.clear()
      this.#published = published
      this.#load()
      throw error
    } finally {
      this.#touched.clear()
    }
  }

  #treeOf(organization: string | undefined): Tree {
    const name = organization ?? ''
    let found = this.#trees.get(name)
    if (found) return found
    let row = this.#statement('treeOf').get(organization ?? null)
    if (row === undefined) {
      this.#run('addTree', organization ?? null)
      row = this.#statement('treeOf').get(organization ?? null)
    }
    const id = row?.id as number
    const tree = new TiledTree(
      {
        read: (level, number) => this.#statement('tile').get(id, level, number)?.hashes as Uint8Array | undefined,
        write: (level, number, hashes) => this.#run('setTile', id, level, number, hashes),
      },
      row?.size as number,
    )
    found = { id, tree }
    if (this.#trees.size >= MOST_TREES) {
      for (const [key, each] of this.#trees) if (key !== '' && !this.#touched.has(each)) this.#trees.delete(key)
    }
    this.#trees.set(name, found)
    return found
  }

  #keys(): { id: number; at: number; size: number; verifier: string }[] {
    return this.#statement('keys').all() as never
  }

  #fact(name: string): string | undefined {
    return this.#statement('fact').get(name)?.value as string | undefined
  }

  #run(name: string, ...values: Parameters<BenchStatement['run']>): void {
    this.#statement(name).run(...values)
  }

  #statement(name: string): BenchStatement {
    let statement = this.#statements.get(name)
    if (statement === undefined) {
      statement = this.#bench.statement(name)
      this.#statements.set(name, statement)
    }
    return statement
  }
}

const sizeOf = (note: string): string => {
  try {
    return `${parseCheckpoint(parseNote(note).text).size} records`
  } catch {
    return 'an unknown size'
  }
}
