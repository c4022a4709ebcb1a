/**
 * The ledger's front on the serving thread: rows of one turn of the event loop wait together, are committed together,
 * and share one promise. Knows what to do when the file cannot be written: try again, free the ballast, refuse, recover.
 */
import { failure } from '../../core/errors.ts'
import type { Log } from '../../core/module.ts'
import type {
  AdjustmentRow,
  Charge,
  Charges,
  ChargesQuestion,
  ClosedRow,
  Ledger,
  LedgerRow,
  LedgerWatcher,
  Sums,
  SumsQuestion,
} from '../../core/store.ts'
import type { Ballast } from './ballast.ts'
import { complaintOf, problemOf } from './fault.ts'

const ROWS_PER_GROUP = 512
const BUSY_RETRY_MS = 1
/** How long a lock that another process holds is waited for. */
const BUSY_LIMIT_MS = 2_000
const PROBE_UNAVAILABLE_MS = 100
const PROBE_FULL_MS = 1_000

export interface GroupLedgerOptions {
  /** Asked after an I/O error. */
  readonly diskIsFull: () => boolean
  /** The highest id ever used. */
  readonly lastAttempt: number
  /** The number of the newest row. */
  readonly lastSeq: number
  /** Adds up committed rows, at most up to a number. */
  readonly sums: (question: SumsQuestion, lastSeq: number) => Promise<readonly Sums[]>
  readonly charges: (question: ChargesQuestion) => Promise<readonly Charges[]>
  /** How many attempts a crash had left open, settled at this start. */
  readonly inDoubt: number
  /** Commits all rows or none; returns how many of them were there before. Throws or rejects with SQLite's error. */
  readonly write: (rows: readonly LedgerRow[]) => number | Promise<number>
  readonly ballast: Pick<Ballast, 'release' | 'stands' | 'ensure'>
  readonly log: Log
  /** The disk lost what it had accepted: the process should end and be started again. */
  readonly fatal: (error: Error) => void
}

interface Group {
  readonly rows: LedgerRow[]
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class GroupLedger implements Ledger {
  readonly #options: GroupLedgerOptions
  #nextId: number
  #waiting: Group | undefined
  #current: Group | undefined
  /** Facts whose waiters were told of a fault: they happened all the same, so they are written once that is possible. */
  #backlog: LedgerRow[] = []
  readonly #watchers = new Set<LedgerWatcher>()
  /** Of the newest committed row. A repeated row gets no number, so counting what was written is enough. */
  #lastSeq: number
  #writing: readonly LedgerRow[] = []
  #chargeOf: ((row: ClosedRow | AdjustmentRow) => Charge | undefined) | undefined
  #trouble: Ledger['trouble']
  #problem = ''
  #lost = false
  #closed = false
  #busySince: number | undefined
  #probe: NodeJS.Timeout | undefined
  #idle: (() => void) | undefined

  constructor(options: GroupLedgerOptions) {
    this.#options = options
    this.#nextId = options.lastAttempt + 1
    this.#lastSeq = options.lastSeq
  }

  get trouble(): Ledger['trouble'] {
    return this.#trouble
  }

  /** Rows that wait for the file to be writable again. */
  get backlog(): number {
    return this.#backlog.length
  }

  nextId(): number {
    return this.#nextId++
  }

  append(row: LedgerRow): Promise<void> {
    let group = this.#waiting
    if (group === undefined) {
      group = this.#waiting = newGroup()
      if (this.#current === undefined) setImmediate(this.#flush)
    }
    group.rows.push(this.#chargeOf === undefined ? row : this.#charged(row))
    if (group.rows.length >= ROWS_PER_GROUP && this.#current === undefined) this.#flush()
    return group.promise
  }

  charge(of: (row: ClosedRow | AdjustmentRow) => Charge | undefined): () => void {
    this.#chargeOf = of
    return () => {
      if (this.#chargeOf === of) this.#chargeOf = undefined
    }
  }

  get charging(): boolean {
    return this.#chargeOf !== undefined
  }

  #charged(row: LedgerRow): LedgerRow {
    if (row.kind !== 'closed' && row.kind !== 'adjustment') return row
    const charge = this.#chargeOf?.(row)
    return charge ? { ...row, ...charge } : row
  }

  get lastSeq(): number {
    return this.#lastSeq
  }

  charges(question: ChargesQuestion): Promise<readonly Charges[]> {
    return this.#options.charges(question)
  }

  watch(watcher: LedgerWatcher): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  sums(question: SumsQuestion): Promise<readonly Sums[]> {
    return this.#options.sums(question, this.#lastSeq)
  }

  /** How many attempts the last run left open; they were settled at what they held when this one started. */
  inDoubt(): number {
    return this.#options.inDoubt
  }

  /** The file is not to be trusted any more (an fsync failed, a page is damaged): nothing is written until a restart. */
  lose(error: Error): void {
    this.#lost = true
    this.#begin('storage_unavailable', problemOf(complaintOf(error)), error)
  }

  /** Without a ballast nothing new may begin: what runs could not be booked if the disk filled up. */
  lacksBallast(): void {
    this.#begin('storage_full', 'there is no room for the reserve that a full disk needs')
  }

  /** Resolves when nothing waits any more, written or refused. */
  async close(): Promise<void> {
    if (this.#current !== undefined || this.#waiting !== undefined) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    clearTimeout(this.#probe)
    this.#closed = true
    if (this.#backlog.length === 0 || this.#lost) return
    const rows = this.#backlog.length
    try {
      await this.#options.write(this.#backlog)
    } catch (error) {
      this.#options.log.error('ledger rows could not be written before the end', { rows, error })
    }
  }

  readonly #flush = (): void => {
    if (this.#current !== undefined || this.#waiting === undefined) return
    this.#current = this.#waiting
    this.#waiting = undefined
    this.#attempt()
  }

  readonly #attempt = (): void => {
    const group = this.#current as Group
    if (this.#lost) {
      this.#refuse(group, 'storage_unavailable')
      return
    }
    this.#writing = this.#backlog.length === 0 ? group.rows : [...this.#backlog, ...group.rows]
    try {
      const written = this.#options.write(this.#writing)
      if (typeof written === 'number') this.#written(written)
      else written.then(this.#written, this.#failed)
    } catch (error) {
      this.#failed(error)
    }
  }

  readonly #written = (repeated: number): void => {
    // A closed row in the backlog may have reached the file although its commit was reported as failed.
    if (repeated > 0) this.#options.log.error('ledger rows were appended twice; the first stands', { rows: repeated })
    this.#lastSeq += this.#writing.length - repeated
    if (this.#watchers.size > 0) this.#tell(repeated)
    if (this.#backlog.length > 0) this.#backlog = []
    this.#busySince = undefined
    if (this.#trouble === 'storage_unavailable') {
      if (this.#options.ballast.stands()) this.#recover()
      else this.#begin('storage_full', problemOf('full'))
    }
    const group = this.#current as Group
    group.resolve()
    this.#next()
  }

  #tell(repeated: number): void {
    for (const watcher of this.#watchers) {
      try {
        watcher.committed(this.#writing)
        if (repeated > 0) watcher.doubtful()
      } catch (error) {
        this.#options.log.error('a watcher of the ledger failed', { error })
      }
    }
  }

  readonly #failed = (error: unknown): void => {
    const group = this.#current as Group
    const complaint = complaintOf(error)
    const full = complaint === 'full' || (complaint === 'io' && this.#options.diskIsFull())
    if (complaint === 'busy') {
      this.#busySince ??= performance.now()
      if (performance.now() - this.#busySince < BUSY_LIMIT_MS) {
        setTimeout(this.#attempt, BUSY_RETRY_MS)
        return
      }
    } else if (full) {
      const freed = this.#options.ballast.release()
      this.#begin('storage_full', problemOf('full'))
      if (freed) {
        this.#attempt()
        return
      }
    } else if (complaint === 'sync' || complaint === 'corrupt') {
      this.#lost = true
    } else if (complaint === 'other') {
      // No state of the disk: a row that cannot be bound. Nothing of its group was written.
      if (this.#backlog.length > 0) {
        this.#options.log.error('ledger rows that waited are given up', { rows: this.#backlog })
        this.#backlog = []
        this.#attempt()
        return
      }
      this.#options.log.error('a group of ledger rows could not be written', { rows: group.rows.length, error })
      group.reject(failure('internal_error', { id: group.rows[0]?.exchange }, error))
      this.#next()
      return
    }
    if (!full) this.#begin('storage_unavailable', problemOf(complaint), error)
    if (complaint === 'sync') this.#options.fatal(error instanceof Error ? error : new Error(String(error)))
    this.#refuse(group, full ? 'storage_full' : 'storage_unavailable')
  }

  #refuse(group: Group, code: 'storage_full' | 'storage_unavailable'): void {
    for (const row of group.rows) if (row.kind === 'closed') this.#backlog.push(row)
    group.reject(failure(code, { problem: this.#problem }))
    this.#next()
  }

  #next(): void {
    this.#current = undefined
    if (this.#waiting !== undefined) setImmediate(this.#flush)
    else if (this.#idle !== undefined) this.#idle()
  }

  #begin(trouble: NonNullable<Ledger['trouble']>, problem: string, error?: unknown): void {
    if (this.#trouble === trouble) return
    this.#trouble = trouble
    this.#problem = problem
    this.#options.log.error(`the ledger cannot be written: ${problem}; new requests are refused`, { trouble, error })
    this.#schedule()
  }

  #recover(): void {
    this.#trouble = undefined
    clearTimeout(this.#probe)
    this.#probe = undefined
    this.#options.log.info('the ledger can be written again')
  }

  #schedule(): void {
    if (this.#lost || this.#closed) return
    clearTimeout(this.#probe)
    const ms = this.#trouble === 'storage_full' ? PROBE_FULL_MS : PROBE_UNAVAILABLE_MS
    this.#probe = setTimeout(this.#look, ms).unref()
  }

  /** Writes an empty group (and with it the backlog); when the disk was full, also makes the ballast again. */
  readonly #look = async (): Promise<void> => {
    if (this.#current === undefined && this.#waiting === undefined) {
      const probe = newGroup()
      this.#current = probe
      this.#attempt()
      await probe.promise.catch(() => {})
    }
    if (this.#trouble === 'storage_full' && this.#backlog.length === 0 && (await this.#options.ballast.ensure())) {
      this.#recover()
    }
    if (this.#trouble !== undefined) this.#schedule()
  }
}

function newGroup(): Group {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // Told to each waiter; a group nobody waits for must not end the process.
  promise.catch(() => {})
  return { rows: [], promise, resolve, reject }
}
