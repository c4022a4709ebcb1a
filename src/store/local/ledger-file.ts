/**
 * ledger.db as its one writer sees it: rows in, one transaction a group. Lives on the serving thread, or in a worker
 * where every commit must reach the disk. This is the hot path: positional binding, no copies, statements kept.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { LedgerRow } from '../../core/store.ts'
import type { Usage } from '../../core/usage.ts'
import { inTransaction } from './database.ts'

const INSERT_OPENED = `
  INSERT INTO ledger (kind, attempt, at, exchange, revision, principal, organization, team, user, end_user, tags, model,
    upstream, provider, upstream_model, held)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT DO NOTHING`
const INSERT_CLOSED = `
  INSERT INTO ledger (kind, attempt, at, exchange, revision, principal, organization, team, user, end_user, tags, model,
    upstream, provider, upstream_model, input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, image_input, image_output,
    audio_input, audio_output, calls, usage_source, cost, price_version, outcome, status, reason, served_model,
    upstream_request_id, service_tier, charge, terms)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT DO NOTHING`
const INSERT_HIT = `
  INSERT INTO ledger (kind, attempt, at, exchange, revision, principal, organization, team, user, end_user, tags, model,
    upstream, provider, upstream_model, input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, image_input, image_output,
    audio_input, audio_output, calls, usage_source, cost)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT DO NOTHING`
const INSERT_ADJUSTMENT = `
  INSERT INTO ledger (kind, attempt, at, exchange, revision, principal, organization, team, user, end_user, tags, model,
    upstream, provider, upstream_model, cost, price_version, reason, written_at, charge, terms)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
const INSERT_IN_DOUBT = `
  INSERT INTO ledger (kind, attempt, at, exchange, revision, principal, organization, team, user, end_user, tags, model,
    upstream, provider, upstream_model, cost, usage_source, outcome, reason)
  SELECT 'closed', attempt, ?, exchange, revision, principal, organization, team, user, end_user, tags, model, upstream,
    provider, upstream_model, held, 'none', 'in-doubt', 'in-doubt'
  FROM ledger AS o
  WHERE o.seq >= ? AND o.kind = 'opened'
    AND NOT EXISTS (SELECT 1 FROM ledger AS s WHERE s.attempt = o.attempt AND s.kind IN ('closed', 'hit'))`

/** How many rows may pass before the place from which a start must look for open attempts is written down again. */
const ROWS_PER_MARK = 10_000
const CLOSING_BUSY_MS = 5_000

export class LedgerFile {
  readonly #db: DatabaseSync
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #opened: StatementSync
  readonly #closed: StatementSync
  readonly #hit: StatementSync
  readonly #adjustment: StatementSync
  readonly #mark: StatementSync
  /** Attempt → number of its opened row, oldest first, for attempts that are not settled. */
  readonly #open = new Map<number, number>()
  #lastSeq: number
  #rowsSinceMark = 0

  constructor(db: DatabaseSync) {
    this.#db = db
    this.#begin = db.prepare('BEGIN IMMEDIATE')
    this.#commit = db.prepare('COMMIT')
    this.#opened = db.prepare(INSERT_OPENED)
    this.#closed = db.prepare(INSERT_CLOSED)
    this.#hit = db.prepare(INSERT_HIT)
    this.#adjustment = db.prepare(INSERT_ADJUSTMENT)
    this.#mark = db.prepare(
      "INSERT INTO marks (name, seq) VALUES ('settled', ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq",
    )
    this.#lastSeq = maximum(db, 'SELECT max(seq) AS n FROM ledger')
  }

  /** The number of the newest row; rows are numbered without gaps. */
  lastSeq(): number {
    return this.#lastSeq
  }

  /** The highest attempt id in the file. */
  lastAttempt(): number {
    return Math.max(
      maximum(this.#db, "SELECT max(attempt) AS n FROM ledger WHERE kind = 'opened'"),
      maximum(this.#db, "SELECT max(attempt) AS n FROM ledger WHERE kind IN ('closed', 'hit')"),
    )
  }

  /**
   * Settles every attempt that a crash left open at the amount it held, and says so on the row. Returns how many.
   * Only before the first write: an attempt of this run would look the same.
   */
  closeInDoubt(at: number): number {
    return inTransaction(this.#db, () => {
      const from = maximum(this.#db, "SELECT seq AS n FROM marks WHERE name = 'settled'")
      const settled = Number(this.#db.prepare(INSERT_IN_DOUBT).run(at, from).changes)
      this.#lastSeq = maximum(this.#db, 'SELECT max(seq) AS n FROM ledger')
      this.#mark.run(this.#lastSeq + 1)
      return settled
    })
  }

  /** All rows or none. Returns how many were there before (an attempt opened or settled twice has one effect). */
  write(rows: readonly LedgerRow[]): number {
    const seqs: number[] = []
    this.#begin.run()
    try {
      for (const row of rows) seqs.push(this.#insert(row))
      this.#rowsSinceMark += rows.length
      if (this.#rowsSinceMark >= ROWS_PER_MARK) this.#writeMark()
      this.#commit.run()
    } catch (error) {
      // After a full disk or an I/O error SQLite may have rolled back already.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
    let repeated = 0
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as LedgerRow
      const seq = seqs[i] as number
      if (seq === 0) repeated++
      else this.#lastSeq = seq
      if (row.kind === 'opened') {
        if (seq !== 0) this.#open.set(row.attempt, seq)
      } else if (row.kind === 'closed') this.#open.delete(row.attempt)
    }
    return repeated
  }

  /**
   * Notes how far everything is settled, so that the next start has nothing to look through. Nobody is served any more,
   * so this may wait for a checkpoint that keeps the writer out.
   */
  close(): void {
    try {
      this.#db.exec(`PRAGMA busy_timeout = ${CLOSING_BUSY_MS}`)
      if (this.#rowsSinceMark > 0) inTransaction(this.#db, () => this.#writeMark())
    } finally {
      this.#db.close()
    }
  }

  /** Everything before the oldest open attempt is settled: the next start looks from there. */
  #writeMark(): void {
    const oldest = this.#open.values().next()
    this.#mark.run(oldest.done ? this.#lastSeq + 1 : oldest.value)
    this.#rowsSinceMark = 0
  }

  /** The new row's number, or 0 if the attempt already had such a row. */
  #insert(row: LedgerRow): number {
    const r = this.#bind(row)
    return r.changes === 0 ? 0 : (r.lastInsertRowid as number)
  }

  #bind(r: LedgerRow) {
    switch (r.kind) {
      case 'opened':
        return this.#opened.run(
          'opened',
          r.attempt,
          r.at,
          r.exchange,
          r.revision,
          r.principal,
          r.organization ?? null,
          r.team ?? null,
          r.user ?? null,
          r.endUser ?? null,
          tagsOf(r),
          r.model,
          r.upstream,
          r.provider,
          r.upstreamModel,
          r.held,
        )
      case 'closed': {
        const u = r.usage
        return this.#closed.run(
          'closed',
          r.attempt,
          r.at,
          r.exchange,
          r.revision,
          r.principal,
          r.organization ?? null,
          r.team ?? null,
          r.user ?? null,
          r.endUser ?? null,
          tagsOf(r),
          r.model,
          r.upstream,
          r.provider,
          r.upstreamModel,
          u.input ?? null,
          u.cacheRead ?? null,
          u.cacheWrite5m ?? null,
          u.cacheWrite1h ?? null,
          u.output ?? null,
          u.reasoning ?? null,
          u.imageInput ?? null,
          u.imageOutput ?? null,
          u.audioInput ?? null,
          u.audioOutput ?? null,
          callsOf(u),
          u.source,
          r.cost,
          r.priceVersion ?? null,
          r.outcome,
          r.status ?? null,
          r.reason ?? null,
          r.servedModel ?? null,
          r.upstreamRequestId ?? null,
          u.serviceTier ?? null,
          r.charge ?? null,
          r.terms ?? null,
        )
      }
      case 'hit': {
        const u = r.usage
        return this.#hit.run(
          'hit',
          r.attempt,
          r.at,
          r.exchange,
          r.revision,
          r.principal,
          r.organization ?? null,
          r.team ?? null,
          r.user ?? null,
          r.endUser ?? null,
          tagsOf(r),
          r.model,
          r.upstream,
          r.provider,
          r.upstreamModel,
          u.input ?? null,
          u.cacheRead ?? null,
          u.cacheWrite5m ?? null,
          u.cacheWrite1h ?? null,
          u.output ?? null,
          u.reasoning ?? null,
          u.imageInput ?? null,
          u.imageOutput ?? null,
          u.audioInput ?? null,
          u.audioOutput ?? null,
          callsOf(u),
          u.source,
          0,
        )
      }
      case 'adjustment':
        return this.#adjustment.run(
          'adjustment',
          r.attempt,
          r.at,
          r.exchange,
          r.revision,
          r.principal,
          r.organization ?? null,
          r.team ?? null,
          r.user ?? null,
          r.endUser ?? null,
          tagsOf(r),
          r.model,
          r.upstream,
          r.provider,
          r.upstreamModel,
          r.cost,
          r.priceVersion,
          r.reason,
          r.writtenAt,
          r.charge ?? null,
          r.terms ?? null,
        )
    }
  }
}

const tagsOf = ({ tags }: LedgerRow): string | null => (tags ? JSON.stringify(tags) : null)
const callsOf = (usage: Usage): string | null => (usage.calls ? JSON.stringify(usage.calls) : null)

function maximum(db: DatabaseSync, statement: string): number {
  return (db.prepare(statement).get()?.n as number | null | undefined) ?? 0
}
