/**
 * Moves what the serving thread wrote from a write-ahead log into its file, so that the log stays small and the serving
 * thread never does it. PASSIVE does the work beside the writer, a second one what came meanwhile, and RESTART, which
 * keeps the writer out, the little that is left; after it the log begins anew.
 *
 * The first commit in a new log waits for the disk once. Where an answer waits for the writer, it is made here, and a
 * short log is left alone for a while.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { connect } from './database.ts'
import { complaintOf } from './fault.ts'

/** RESTART keeps the writer out while it waits for readers, so it gives up soon and comes again. */
const WAIT_FOR_READERS_MS = 10
/** Pages that are worth the disturbance; fewer wait until `SHORT_LOG_MS` have passed. */
const LONG_LOG_PAGES = 2_048
const SHORT_LOG_MS = 5_000

export class Checkpoints {
  readonly #db: DatabaseSync
  readonly #look: StatementSync
  readonly #passive: StatementSync
  readonly #restart: StatementSync
  readonly #first: StatementSync | undefined
  #doneAt = performance.now()

  /** `first` is a statement that changes nothing but the log. */
  constructor(path: string, first?: string) {
    this.#db = connect({ path, busyMs: WAIT_FOR_READERS_MS, synchronous: 'NORMAL', checkpoints: false })
    this.#look = this.#db.prepare('PRAGMA wal_checkpoint(NOOP)')
    this.#passive = this.#db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
    this.#restart = this.#db.prepare('PRAGMA wal_checkpoint(RESTART)')
    this.#first = first === undefined ? undefined : this.#db.prepare(first)
  }

  /** Throws if an fsync failed or the file is damaged; a full or busy disk is tried again by the next call. */
  run(): void {
    try {
      const pages = pagesLeft(this.#look)
      if (pages === 0 || (pages < LONG_LOG_PAGES && performance.now() - this.#doneAt < SHORT_LOG_MS)) return
      this.#passive.get()
      this.#passive.get()
      if (this.#restart.get()?.busy !== 0) return
      this.#doneAt = performance.now()
      this.#first?.run()
    } catch (error) {
      const complaint = complaintOf(error)
      if (complaint === 'sync' || complaint === 'corrupt') throw error
    }
  }

  close(): void {
    this.#db.close()
  }
}

function pagesLeft(statement: StatementSync): number {
  const row = statement.get()
  return Math.max(0, (row?.log as number) - (row?.checkpointed as number))
}
