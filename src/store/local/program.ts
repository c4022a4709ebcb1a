/**
 * Runs a module's program (core/program.ts) in a worker thread: its own tables, synchronous and durable; core's rows to
 * read; its key file. Everything else the program knows comes with its calls.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { StatementSync } from 'node:sqlite'
import { workerData } from 'node:worker_threads'
import type { Bench, BenchStatement, KeyFile, Program } from '../../core/program.ts'
import type { SqlValue } from '../../core/store.ts'
import { answer } from './calls.ts'
import { coreRows } from './core-rows.ts'
import { connect, inTransaction } from './database.ts'
import { databasePath, keyFilePath } from './files.ts'
import type { Calls } from './link.ts'
import type { AllTables } from './statements.ts'

export interface ProgramOpening {
  readonly dataDir: string
  readonly module: string
  readonly tables: AllTables
}
export type OpenProgramCalls = Calls & { close(argument: undefined): void }

const BUSY_MS = 1_000

/** Called by the worker's entry file with what it knows: module → program. */
export function runProgram(programs: Readonly<Record<string, Program>>): void {
  const { opening } = workerData as { opening: ProgramOpening }
  const program = programs[opening.module]
  if (program === undefined) throw new Error(`the module "${opening.module}" has no program`)
  const bench = openBench(opening)
  answer({ ...program.start(bench), close: () => bench.close() })
}

/** All that a program may touch. */
export function openBench({ dataDir, module, tables }: ProgramOpening): Bench & { close(): void } {
  const definition = tables[module]
  if (definition === undefined) return withoutTables(dataDir, module)
  const path = databasePath(dataDir, definition.file)
  // SQLite would make an empty file; one that is gone must be noticed.
  if (!existsSync(path)) throw new Error(`${path} is missing`)
  const db = connect({ path, busyMs: BUSY_MS, synchronous: 'FULL', checkpoints: true })
  const rows = coreRows(dataDir)
  return {
    statement(name) {
      const text = definition.statements[name]
      if (text === undefined) throw new Error(`the module "${module}" declared no statement "${name}"`)
      return bound(db.prepare(text))
    },
    transaction: (work) => inTransaction(db, work),
    rows,
    keyFile: ownedFile(keyFilePath(dataDir, module)),
    close() {
      rows.close()
      db.close()
    },
  }
}

/** A program without tables computes, and reads nothing. */
function withoutTables(dataDir: string, module: string): Bench & { close(): void } {
  const nothing = (): never => {
    throw new Error(`the module "${module}" declared no tables`)
  }
  return {
    statement: nothing,
    transaction: nothing,
    rows: { after: () => [], newest: () => 0 },
    keyFile: ownedFile(keyFilePath(dataDir, module)),
    close: () => {},
  }
}

const bound = (statement: StatementSync): BenchStatement => ({
  all: (...values) => statement.all(...values) as Record<string, SqlValue>[],
  get: (...values) => statement.get(...values) as Record<string, SqlValue> | undefined,
  run: (...values) => void statement.run(...values),
})

/** Key files are replaced by renaming, and the bytes that stood there are overwritten first. */
export function ownedFile(path: string): KeyFile {
  const next = `${path}.new`
  return {
    read() {
      const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
      if (/[^0]/.test(text)) return text
      // The end came between overwriting and renaming.
      return existsSync(next) ? readFileSync(next, 'utf8') : undefined
    },
    replace(text) {
      write(next, text, 'w')
      if (existsSync(path)) write(path, '0'.repeat(statSync(path).size), 'r+')
      renameSync(next, path)
      sync(join(path, '..'))
    },
  }
}

function write(path: string, text: string, flags: string): void {
  const file = openSync(path, flags, 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function sync(directory: string): void {
  if (process.platform === 'win32') return
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
