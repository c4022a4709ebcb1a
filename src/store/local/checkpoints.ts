/**
 * Moves what the serving thread wrote from a write-ahead log into its file, so that the log stays small and the serving
 * thread never does it. PASSIVE does the work beside the writer; RESTART then lets the log begin anew, in an instant.
 */
import { statSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { connect } from './database.ts'
import { complaintOf } from './fault.ts'

/** RESTART keeps the writer out while it waits for readers, so it gives up soon and comes again. */
const WAIT_FOR_READERS_MS = 10

export class Checkpoints {
  readonly #db: DatabaseSync
  readonly #log: string
  readonly #passive: StatementSync
  readonly #restart: StatementSync
  #seen = ''

  constructor(path: string) {
    this.#db = connect({ path, busyMs: WAIT_FOR_READERS_MS, synchronous: 'NORMAL', checkpoints: false })
    this.#log = `${path}-wal`
    this.#passive = this.#db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
    this.#restart = this.#db.prepare('PRAGMA wal_checkpoint(RESTART)')
  }

  /** Throws if an fsync failed or the file is damaged; a full or busy disk is tried again by the next call. */
  run(): void {
    const log = statSync(this.#log, { throwIfNoEntry: false })
    const state = log === undefined ? '' : `${log.size} ${log.mtimeMs}`
    if (state === this.#seen || log?.size === 0) return
    try {
      this.#passive.get()
      if (this.#restart.get()?.busy === 0) this.#seen = state
    } catch (error) {
      const complaint = complaintOf(error)
      if (complaint === 'sync' || complaint === 'corrupt') throw error
    }
  }

  close(): void {
    this.#db.close()
  }
}
