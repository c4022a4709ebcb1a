/**
 * A module's own program on a worker thread: for work that would hold up the serving thread, and for rows that must be
 * written as durably as the ledger. It answers the calls of `host.worker` one after the other, and owns no timers.
 */
import type { SqlValue } from './store.ts'

export interface Program {
  start(bench: Bench): ProgramCalls
}
/** Each call takes one argument and gives one answer; both can be cloned. */
// biome-ignore lint/suspicious/noExplicitAny: the argument's type is each call's own
export type ProgramCalls = Readonly<Record<string, (argument: any) => unknown>>

/** All that a program may touch. */
export interface Bench {
  /** A statement of the module's `tables.ts`, prepared; values are bound by position. */
  statement(name: string): BenchStatement
  /** All of it or nothing, on the disk when it returns. */
  transaction<T>(work: () => T): T
  readonly rows: CoreRows
  /** A file beside the databases that only the owner may read, for what must not stand in a database. */
  readonly keyFile: KeyFile
}
export interface BenchStatement {
  all(...values: SqlValue[]): Record<string, SqlValue>[]
  get(...values: SqlValue[]): Record<string, SqlValue> | undefined
  run(...values: SqlValue[]): void
}
export interface KeyFile {
  read(): string | undefined
  /** Atomic; what stood there before is overwritten. */
  replace(text: string): void
}

/** A row of core's append-only tables; `row` is its number there. Money and 64-bit numbers are text, absent is null. */
export type CoreRow = Readonly<Record<string, string | number | null>> & { readonly row: number }
/** In the order of their numbers, those after `row`. */
export interface CoreRows {
  after(source: CoreSource, row: number, limit: number): readonly CoreRow[]
  /** The number of the newest row. */
  newest(source: CoreSource): number
}
export const CORE_SOURCES = ['revisions', 'directory', 'ledger'] as const
export type CoreSource = (typeof CORE_SOURCES)[number]
