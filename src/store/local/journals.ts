/**
 * Rows of modules on their way to the keeper: collected, sent in batches, never more than a bound under way. What does
 * not fit or cannot be written is dropped and counted, because a log must never hold up an answer.
 */
import type { Log } from '../../core/module.ts'
import type { Journal, JournalRow } from '../../core/store.ts'
import { complaintOf, problemOf } from './fault.ts'
import type { JournalBatch } from './keeper.ts'

const MOST_ROWS = 10_000
const MOST_BYTES = 32 * 1024 * 1024
const ROWS_PER_BATCH = 64
const FLUSH_MS = 50
const BATCHES_UNDER_WAY = 4
/** One line of complaint in this time, however many rows are dropped. */
const COMPLAIN_MS = 60_000

export interface JournalOptions {
  readonly module: string
  readonly statement: string
  readonly send: (batch: JournalBatch) => Promise<unknown>
  /** While this says so nothing is written: the space is needed for the ledger. */
  readonly paused: () => boolean
  readonly log: Log
}

export class BatchedJournal implements Journal {
  readonly #options: JournalOptions
  #rows: JournalRow[] = []
  #bytes = 0
  /** Rows and bytes in `#rows` and in batches that are not acknowledged. */
  #rowsHeld = 0
  #bytesHeld = 0
  #underWay = 0
  /** Whoever waits for the next batch to be over. */
  #waiting: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #dropped = 0
  #complainedAt = Number.NEGATIVE_INFINITY

  constructor(options: JournalOptions) {
    this.#options = options
  }

  get dropped(): number {
    return this.#dropped
  }

  append(rows: readonly JournalRow[]): void {
    for (const row of rows) {
      const bytes = bytesOf(row)
      if (this.#rowsHeld >= MOST_ROWS || this.#bytesHeld + bytes > MOST_BYTES || this.#options.paused()) {
        this.#drop(1, undefined)
        continue
      }
      this.#rows.push(row)
      this.#bytes += bytes
      this.#rowsHeld++
      this.#bytesHeld += bytes
      if (this.#rows.length >= ROWS_PER_BATCH) this.#send()
    }
    if (this.#rows.length > 0) this.#timer ??= setTimeout(this.#send, FLUSH_MS).unref()
  }

  /** Resolves when every row so far is written or dropped. */
  async flush(): Promise<void> {
    while (this.#rowsHeld > 0) {
      this.#send()
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  readonly #send = (): void => {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#rows.length === 0 || this.#underWay >= BATCHES_UNDER_WAY) return
    const rows = this.#rows
    const bytes = this.#bytes
    this.#rows = []
    this.#bytes = 0
    const { module, statement } = this.#options
    this.#underWay++
    this.#options.send({ module, statement, rows }).then(
      () => this.#over(rows.length, bytes),
      (error: unknown) => {
        this.#drop(rows.length, error)
        this.#over(rows.length, bytes)
      },
    )
  }

  #over(rows: number, bytes: number): void {
    this.#underWay--
    this.#rowsHeld -= rows
    this.#bytesHeld -= bytes
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
    this.#send()
  }

  #drop(rows: number, error: unknown): void {
    this.#dropped += rows
    const now = performance.now()
    if (now - this.#complainedAt < COMPLAIN_MS) return
    this.#complainedAt = now
    const { module, log } = this.#options
    const problem = error === undefined ? 'they come faster than they are written' : problemOf(complaintOf(error))
    log.warn(`rows of the module "${module}" are dropped: ${problem}`, { dropped: this.#dropped, error })
  }
}

/** Roughly what a row takes in memory: its texts are what can be large. */
function bytesOf(row: JournalRow): number {
  let bytes = 0
  for (const value of row) bytes += typeof value === 'string' ? 16 + value.length * 2 : 8
  return bytes
}
