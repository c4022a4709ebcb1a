/**
 * A process that uses a store until it is killed or told to end: what storage.test.ts does harm to. Everything that
 * was acknowledged goes to standard output at once, one fact a line, before anything else happens.
 *
 *   node storage-child.ts <what> <data directory>
 */
import { writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { EMPTY_CONFIGURATION, type TablesDefinition } from '../../src/core/store.ts'
import { openStore } from '../../src/store/local/index.ts'
import { closedRow, openedRow, WORKER_URL } from '../../src/store/local/scratch.ts'

/** Waits while the pipe is full: what was acknowledged must be known before the next thing happens. */
function say(line: string): void {
  for (;;) {
    try {
      writeSync(1, `${line}\n`)
      return
    } catch (error) {
      if ((error as { code?: string }).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}
const log = { debug() {}, info() {}, warn() {}, error() {} }

/** Steps of a file that takes seconds to bring up to date: the second one is where the kill should fall. */
const SLOW_TABLES: TablesDefinition = {
  file: 'logs',
  migrations: [
    'CREATE TABLE numbers (n INTEGER)',
    'INSERT INTO numbers WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 3000000) SELECT n FROM up',
    'CREATE INDEX numbers_n ON numbers (n)',
  ],
  statements: { count: 'SELECT count(*) AS n FROM numbers' },
}
export const migrated = { numbers: SLOW_TABLES }

async function open(dataDir: string) {
  return openStore({
    dataDir,
    log,
    tables: {},
    workerUrl: WORKER_URL,
    ballastBytes: 0,
    masterKey: '00'.repeat(32),
    fatal(error) {
      say(`fatal ${error.message}`)
      process.exit(3)
    },
  })
}

const PARTS: Readonly<Record<string, (dataDir: string) => Promise<void>>> = {
  /** Attempts in eight lanes and a configuration change now and then, for ever. */
  async write(dataDir) {
    const store = await open(dataDir)
    say(`in-doubt ${store.ledger.inDoubt()}`)
    const lane = async () => {
      for (;;) {
        const attempt = store.ledger.nextId()
        await store.ledger.append(openedRow(attempt))
        say(`opened ${attempt}`)
        if (attempt % 3 === 0) await sleep(1)
        await store.ledger.append(closedRow(attempt))
        say(`closed ${attempt}`)
        if (attempt % 50 === 0) {
          const change = { actor: 'child', action: 'count', before: null, after: attempt }
          say(`revision ${store.configuration.commit(EMPTY_CONFIGURATION, change).id}`)
        }
      }
    }
    await Promise.all(Array.from({ length: 8 }, lane))
  },

  /** A hundred attempts one after the other, each half of it either acknowledged or refused; then a clean end. */
  async count(dataDir) {
    const store = await open(dataDir)
    for (let i = 0; i < 100; i++) {
      const attempt = store.ledger.nextId()
      for (const row of [openedRow(attempt), closedRow(attempt)]) {
        await store.ledger.append(row).then(
          () => say(`${row.kind} ${attempt}`),
          (error) => say(`refused ${error.code}`),
        )
      }
      try {
        const change = { actor: 'child', action: 'count', before: null, after: i }
        if (i % 10 === 0) say(`revision ${store.configuration.commit(EMPTY_CONFIGURATION, change).id}`)
      } catch (error) {
        say(`refused ${(error as { code: string }).code}`)
      }
    }
    await store.close()
    say('end')
  },

  /** Holds the ledger's write lock for three seconds, from outside. */
  async lock(dataDir) {
    const db = new DatabaseSync(`${dataDir}/ledger.db`)
    db.exec('BEGIN EXCLUSIVE')
    say('locked')
    await sleep(3_000)
    db.exec('ROLLBACK')
    say('released')
  },

  /** Holds the data directory until it is killed. */
  async hold(dataDir) {
    await open(dataDir)
    say('open')
    await sleep(60_000)
  },

  async migrate(dataDir) {
    say('begin')
    const store = await openStore({ dataDir, log, tables: migrated, workerUrl: WORKER_URL, ballastBytes: 0 })
    say('migrated')
    await store.close()
  },
}

if (import.meta.main) {
  const [what = '', dataDir = ''] = process.argv.slice(2)
  try {
    await PARTS[what]?.(dataDir)
  } catch (error) {
    say(`failed ${(error as { code?: string }).code} ${(error as Error).message}`)
    process.exit(2)
  }
}
