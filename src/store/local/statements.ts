/**
 * The statements that modules declare, ready to run in a worker: found by (module, name), values bound by name,
 * those of a journal by position. A name that a statement does not use is ignored, and one that is missing is NULL.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { JournalRow, SqlValue, TablesDefinition } from '../../core/store.ts'
import type { DatabaseName } from './files.ts'

/** Module id → what it declared. */
export type AllTables = Readonly<Record<string, TablesDefinition>>

export interface StatementCall {
  readonly module: string
  readonly statement: string
  readonly parameters: Readonly<Record<string, SqlValue>>
}

export class Statements {
  readonly #tables: AllTables
  readonly #open: (file: DatabaseName) => DatabaseSync
  readonly #prepared = new Map<string, StatementSync>()

  constructor(tables: AllTables, open: (file: DatabaseName) => DatabaseSync) {
    this.#tables = tables
    this.#open = open
  }

  /** Rows as plain objects; integers as numbers where a number can hold them. */
  query({ module, statement, parameters }: StatementCall): Record<string, SqlValue>[] {
    return this.#find(module, statement).all(parameters).map(plain)
  }

  run({ module, statement, parameters }: StatementCall): { changes: number } {
    const found = this.#find(module, statement)
    // A statement that answers (a pragma, RETURNING) works as far as it is read.
    if (found.columns().length > 0) return { changes: found.all(parameters).length }
    return { changes: Number(found.run(parameters).changes) }
  }

  /** Bound by position: finding thirty parameters by their names costs more than the insertion. */
  runEach(module: string, statement: string, rows: readonly JournalRow[]): void {
    const found = this.#find(module, statement)
    for (const row of rows) found.run(...row)
  }

  database(module: string): DatabaseSync {
    return this.#open(this.#definition(module).file)
  }

  #definition(module: string): TablesDefinition {
    const definition = this.#tables[module]
    if (definition === undefined) throw new Error(`the module "${module}" declared no tables`)
    return definition
  }

  #find(module: string, name: string): StatementSync {
    const key = `${module} ${name}`
    let statement = this.#prepared.get(key)
    if (statement === undefined) {
      const text = this.#definition(module).statements[name]
      if (text === undefined) throw new Error(`the module "${module}" declared no statement "${name}"`)
      statement = this.database(module).prepare(text, { readBigInts: true, allowUnknownNamedParameters: true })
      this.#prepared.set(key, statement)
    }
    return statement
  }
}

function plain(row: Readonly<Record<string, unknown>>): Record<string, SqlValue> {
  const out: Record<string, SqlValue> = {}
  for (const [name, value] of Object.entries(row)) {
    const fits = typeof value === 'bigint' && value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER
    out[name] = fits ? Number(value) : (value as SqlValue)
  }
  return out
}
