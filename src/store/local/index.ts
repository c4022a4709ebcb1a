/**
 * The store of one machine: SQLite files in a data directory, written by the serving thread where an answer waits for
 * it (ledger, configuration) and by worker threads where nothing does. This file wires the parts and names what they
 * offer; each part says itself what it does.
 */
import { statSync } from 'node:fs'
import type { Log, Worker } from '../../core/module.ts'
import type { Journal, Ledger, LedgerFact, ScopedCache, Tables } from '../../core/store.ts'
import type { Price } from '../../core/usage.ts'
import type { BackupManifest } from './backup.ts'
import { Ballast, diskIsFull } from './ballast.ts'
import { ConfigurationFile } from './configuration.ts'
import { administrative } from './database.ts'
import { DirectoryFile } from './directory.ts'
import type { ExportQuestion } from './export-query.ts'
import { Facts } from './facts.ts'
import { complaintOf, problemOf } from './fault.ts'
import { DATABASES, type DatabaseName, databasePath, prepareDirectory, takeLock } from './files.ts'
import { GroupLedger } from './group-ledger.ts'
import { checkLibrary } from './integrity.ts'
import { BatchedJournal } from './journals.ts'
import type { KeeperCalls, KeeperOpening } from './keeper.ts'
import { LedgerFile } from './ledger-file.ts'
import type { AttemptsQuestion, RepriceSelection, SettledAttempt, Unpriced } from './ledger-query.ts'
import type { LedgerWriterCalls, LedgerWriterOpening } from './ledger-writer.ts'
import { Link } from './link.ts'
import { ObjectsFile } from './objects.ts'
import { openFiles } from './opening.ts'
import type { OpenProgramCalls, ProgramOpening } from './program.ts'
import type { ReaderCalls, ReaderOpening } from './reader.ts'
import { ReplyCache } from './reply-cache.ts'
import { type Repriced, repricing } from './repricing.ts'
import { Secrets } from './secrets.ts'
import type { AllTables } from './statements.ts'
import type { UsageQuestion, UsageSum } from './usage-query.ts'

export { type BackupManifest, type RestoreOptions, restore } from './backup.ts'
export type { ConfigurationChange } from './configuration.ts'
export { StoreError, type StoreErrorCode } from './fault.ts'
export type { AttemptsQuestion, RepriceSelection, SettledAttempt, Unpriced } from './ledger-query.ts'
export type { Repriced } from './repricing.ts'
export type { SecretFacts } from './secrets.ts'
export { USAGE_KEYS, type UsageKey } from './usage-keys.ts'
export type { UsageQuestion, UsageSum } from './usage-query.ts'

export interface StoreOptions {
  readonly dataDir: string
  readonly log: Log
  /** What each module keeps, by module id. */
  readonly tables: AllTables
  /** How to start the worker: `new URL('./worker.ts', import.meta.url)` of this folder, or a data URL. */
  readonly workerUrl: URL | string
  /** The same for programs of modules; without it there are none. */
  readonly programUrl?: URL | string
  readonly now?: () => number
  /** What an acknowledged ledger row survives: the end of the process (default), or of the power. */
  readonly durability?: 'process' | 'power-loss'
  /** Space kept back for a full disk; 64 MiB unless told. */
  readonly ballastBytes?: number
  /** As the operator gave it; absent: the environment's STOCKYARD_MASTER_KEY, else a key file in the data directory. */
  readonly masterKey?: string
  readonly cacheMemoryBytes?: number
  readonly cacheFileBytes?: number
  /** The disk lost what it had accepted: the process should end with an error, and be started again. */
  readonly fatal?: (error: Error) => void
  /** For tests of the refusal. */
  readonly sqliteVersion?: string
}

export interface StoreHealth {
  readonly ledger: 'ok' | 'storage_full' | 'storage_unavailable'
  /** Settled facts that wait for the file to be writable again. */
  readonly ledgerBacklog: number
  /** Attempts that the last run had left open. */
  readonly inDoubt: number
  /** Rows of modules that were dropped since the start. */
  readonly logsDropped: number
  readonly walBytes: Readonly<Record<DatabaseName, number>>
}

export interface LocalStore {
  readonly ledger: Ledger & { inDoubt(): number }
  readonly configuration: ConfigurationFile
  readonly secrets: Secrets
  readonly directory: DirectoryFile
  readonly facts: Facts
  readonly objects: ObjectsFile
  readonly cache: {
    of(moduleId: string, scope: string): ScopedCache
    size(): { readonly entries: number; readonly bytes: number }
    clear(): Promise<void>
  }
  /** Throws if the module declared none. */
  tables(moduleId: string): Tables
  worker(moduleId: string): Worker
  /** Reads for people; each rejects after 30 seconds. */
  readonly query: {
    usage(question: UsageQuestion): Promise<readonly UsageSum[]>
    attempts(question: AttemptsQuestion): Promise<readonly SettledAttempt[]>
    /** A page of settled rows; none at the end. */
    exported(question: ExportQuestion): Promise<readonly LedgerFact[]>
    unpriced(): Promise<readonly Unpriced[]>
    /** Writes what is between the present cost of the selected calls and that under `price`. Runs one at a time. */
    reprice(selection: RepriceSelection, price: Price, actor: string): Promise<Repriced>
  }
  /** Copies everything into a new directory while the store is in use. Rejects with `not_empty`. */
  backup(toDir: string): Promise<BackupManifest>
  health(): StoreHealth
  /** Writes what waits, and gives the data directory back. A second call waits for the first. */
  close(): Promise<void>
}

const BALLAST_BYTES = 64 * 1024 * 1024
const CACHE_MEMORY_BYTES = 64 * 1024 * 1024
const CACHE_FILE_BYTES = 512 * 1024 * 1024
const QUERY_LIMIT_MS = 30_000

/** Throws StoreError: in use, damaged, from a newer version, too old a SQLite, no usable master key. */
export async function openStore(options: StoreOptions): Promise<LocalStore> {
  const { dataDir, log, tables, workerUrl } = options
  const now = options.now ?? Date.now
  checkLibrary(options.sqliteVersion ?? (process.versions.sqlite as string))
  prepareDirectory(dataDir)
  const lock = takeLock(dataDir)
  const files = (() => {
    try {
      return openFiles({ dataDir, tables, now, log })
    } catch (error) {
      lock.release()
      throw error
    }
  })()
  const closeFiles = (): void => {
    for (const db of [files.cache, files.stockyard, files.ledger, files.objects]) if (db.isOpen) db.close()
    lock.release()
  }

  try {
    const masterKey = options.masterKey ?? process.env.STOCKYARD_MASTER_KEY
    const transact = administrative(files.stockyard, (error) => alarm(error))
    const secrets = new Secrets(files.stockyard, { dataDir, masterKey, transact, now })
    const ledgerFile = new LedgerFile(files.ledger)
    const inDoubt = ledgerFile.closeInDoubt(now())
    if (inDoubt > 0)
      log.warn('attempts that the last run left open were booked at what they held', { attempts: inDoubt })

    const alarm = (error: Error): void => {
      log.error(`the store cannot go on: ${problemOf(complaintOf(error))}`, { error })
      ledger.lose(error)
      options.fatal?.(error)
    }
    const common = { url: workerUrl, log, alarm }
    const keeper = new Link<KeeperCalls>({
      ...common,
      role: 'keeper',
      opening: { dataDir, tables, cacheBytes: options.cacheFileBytes ?? CACHE_FILE_BYTES } satisfies KeeperOpening,
    })
    const reader = new Link<ReaderCalls>({
      ...common,
      role: 'reader',
      opening: { dataDir, tables } satisfies ReaderOpening,
    })
    const durable =
      options.durability === 'power-loss'
        ? new Link<LedgerWriterCalls>({ ...common, role: 'ledger', opening: { dataDir } satisfies LedgerWriterOpening })
        : undefined

    const ballast = new Ballast(dataDir, options.ballastBytes ?? BALLAST_BYTES, (dataDir, bytes) =>
      keeper.call('ballast', { dataDir, bytes }),
    )
    const ledger = new GroupLedger({
      diskIsFull: () => diskIsFull(dataDir),
      lastAttempt: ledgerFile.lastAttempt(),
      lastSeq: ledgerFile.lastSeq(),
      sums: (question, lastSeq) => ask('sums', { ...question, lastSeq }),
      charges: (question) => ask('charges', question),
      inDoubt,
      write: durable ? (rows) => durable.call('write', rows) : (rows) => ledgerFile.write(rows),
      ballast,
      log,
      fatal: alarm,
    })
    if (durable) {
      ledgerFile.close()
      durable.start()
    }
    keeper.start()
    let closing: Promise<void> | undefined
    void ballast.ensure().then((stands) => {
      if (!stands && closing === undefined) ledger.lacksBallast()
    })

    const paused = (): boolean => ledger.trouble === 'storage_full'
    const cache = new ReplyCache(files.cache, {
      memoryBytes: options.cacheMemoryBytes ?? CACHE_MEMORY_BYTES,
      now,
      paused,
      send: (writes, bodies) => keeper.call('cacheWrite', { writes, at: now() }, { transfer: bodies }),
      clear: () => keeper.call('cacheClear', undefined),
    })
    void keeper.call('cacheSize', undefined).then(
      (size) => cache.counted(size),
      () => {},
    )

    const journals = new Map<string, BatchedJournal>()
    const journalOf = (module: string, statement: string): Journal => {
      const id = `${module} ${statement}`
      let journal = journals.get(id)
      if (journal === undefined) {
        if (tables[module]?.statements[statement] === undefined) {
          throw new Error(`the module "${module}" declared no statement "${statement}"`)
        }
        const send = (batch: Parameters<KeeperCalls['journal']>[0]) => keeper.call('journal', batch)
        journal = new BatchedJournal({ module, statement, log, paused, send })
        journals.set(id, journal)
      }
      return journal
    }
    const settleJournals = () => Promise.all([...journals.values()].map((journal) => journal.flush()))
    const programs = new Map<string, Link<OpenProgramCalls>>()
    const programOf = (module: string): Link<OpenProgramCalls> => {
      let program = programs.get(module)
      if (program === undefined) {
        if (options.programUrl === undefined) throw new Error(`there is no program of the module "${module}"`)
        const broken = (error: Error) => log.error(`the program of the module "${module}" cannot go on`, { error })
        const opening: ProgramOpening = { dataDir, module, tables }
        program = new Link({ url: options.programUrl, role: 'program', opening, log, alarm: broken })
        programs.set(module, program)
      }
      return program
    }
    const closeProgram = async (module: string): Promise<void> => {
      const program = programs.get(module)
      programs.delete(module)
      await program?.close(() => program.call('close', undefined))
    }
    const ask: typeof reader.call = (call, argument) => reader.call(call, argument, { limitMs: QUERY_LIMIT_MS })

    const close = async (): Promise<void> => {
      try {
        await ledger.close()
        await Promise.all([...programs.keys()].map(closeProgram))
        await Promise.all([settleJournals(), cache.flush()])
        await reader.close()
        files.cache.close()
        await durable?.close(() => durable.call('close', undefined))
        if (!durable) ledgerFile.close()
        await keeper.close(() => keeper.call('close', undefined))
      } finally {
        closeFiles()
      }
    }

    return {
      ledger,
      configuration: new ConfigurationFile(files.stockyard, transact, now),
      secrets,
      directory: new DirectoryFile(files.stockyard, transact, now),
      facts: new Facts(files.stockyard, transact, now),
      objects: new ObjectsFile(
        files.objects,
        administrative(files.objects, (error) => alarm(error)),
      ),
      cache,
      tables(module) {
        if (tables[module] === undefined) throw new Error(`the module "${module}" declared no tables`)
        return {
          query: (statement, parameters = {}) => ask('query', { module, statement, parameters }),
          run: (statement, parameters = {}) => keeper.call('run', { module, statement, parameters }),
          journal: (statement) => journalOf(module, statement),
        }
      },
      worker: (module) => ({
        call: (name, argument) => programOf(module).call(name, argument) as Promise<never>,
        close: () => closeProgram(module),
      }),
      query: {
        usage: (question) => ask('usage', question),
        attempts: (question) => ask('attempts', question),
        exported: (question) => ask('exported', question),
        unpriced: () => ask('unpriced', undefined),
        reprice: repricing({
          compute: (question) => ask('reprice', question),
          append: (row) => ledger.append(row),
          now,
        }),
      },
      async backup(toDir) {
        await Promise.all([settleJournals(), cache.flush()])
        return keeper.call('backup', { dataDir, toDir, at: now() })
      },
      health: () => ({
        ledger: ledger.trouble ?? 'ok',
        ledgerBacklog: ledger.backlog,
        inDoubt,
        logsDropped: [...journals.values()].reduce((sum, journal) => sum + journal.dropped, 0),
        walBytes: Object.fromEntries(
          DATABASES.map((name) => [
            name,
            statSync(`${databasePath(dataDir, name)}-wal`, { throwIfNoEntry: false })?.size ?? 0,
          ]),
        ) as Record<DatabaseName, number>,
      }),
      close() {
        closing ??= close()
        return closing
      },
    }
  } catch (error) {
    closeFiles()
    throw error
  }
}
