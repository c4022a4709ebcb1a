/**
 * `stockyard witness`: a small server, best on somebody else's machine, that cosigns the checkpoints of logs and refuses two
 * histories of one (C2SP tlog-witness). It keeps last sizes and roots in a file of its own.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { homedir, hostname } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Command } from 'commander'
import { COSIGNATURE, newSigner, parseVerifier, type Signer, signerOf } from '../modules/audit/note.ts'
import { type Seen, Witness, type WitnessState } from '../modules/audit/witness.ts'
import { prepareDirectory } from '../store/local/files.ts'
import { fail } from './words.ts'

const MOST_BODY = 64 * 1024
const MOST_CONFLICTS = 1_000

export interface RunningWitness {
  readonly url: string
  readonly key: string
  close(): Promise<void>
}
export interface WitnessOptions {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly name: string
  /** Public keys of the logs that it knows. */
  readonly logs: readonly string[]
}

export function witnessCommand(stockyard: Command): void {
  stockyard
    .command('witness')
    .description('cosign checkpoints of audit trails, and refuse two histories of one')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'port to listen on', '4400')
    .option('--data-dir <directory>', 'where it keeps what it saw', join(homedir(), '.stockyard-witness'))
    .option('--name <name>', 'its name in signatures', hostname())
    .option('--log <key...>', 'public key of a log that it witnesses (`stockyard audit checkpoint` prints it)', [])
    .action(async (flags: Omit<WitnessOptions, 'port' | 'logs'> & { port: string; log: string[] }) => {
      const witness = await startWitness({ ...flags, port: Number(flags.port), logs: flags.log }).catch(
        (error: Error) => fail(error.message),
      )
      console.log(`witness on ${witness.url}\nits key  ${witness.key}`)
      const stop = (): void => void witness.close().then(() => process.exit(0))
      process.on('SIGTERM', stop)
      process.on('SIGINT', stop)
    })
}

export async function startWitness({ host, port, dataDir, name, logs }: WitnessOptions): Promise<RunningWitness> {
  prepareDirectory(dataDir)
  const signer = ownKey(join(dataDir, 'witness.key'), name)
  const state = openState(join(dataDir, 'witness.db'))
  for (const log of logs) state.know(log)
  const witness = new Witness(state, signer)
  const server = createServer((request, response) => {
    void answer(request, state, witness, signer)
      .catch((error: Error) => ({ status: 500, text: `${error.message}\n`, type: 'text/plain' }))
      .then(({ status, text, type = 'text/plain; charset=utf-8' }) => {
        response.writeHead(status, { 'content-type': type }).end(text)
      })
      .catch(() => closed(response))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const bound = (server.address() as AddressInfo).port
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    key: signer.verifier.text,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      state.close()
    },
  }
}

const closed = (response: ServerResponse): void => void response.destroy()

interface Answered {
  readonly status: number
  readonly text: string
  readonly type?: string
}

async function answer(request: IncomingMessage, state: State, witness: Witness, signer: Signer): Promise<Answered> {
  const url = new URL(request.url ?? '/', 'http://witness')
  const route = `${request.method} ${url.pathname}`
  if (route === 'GET /') return { status: 200, text: `${signer.verifier.text}\n` }
  if (route === 'GET /checkpoint') {
    const note = state.get(url.searchParams.get('origin') ?? '')?.note
    return note === undefined ? { status: 404, text: 'nothing was seen of this log\n' } : { status: 200, text: note }
  }
  if (route === 'GET /conflicts') {
    return { status: 200, text: JSON.stringify(state.conflicts()), type: 'application/json' }
  }
  if (route !== 'POST /add-checkpoint') return { status: 404, text: 'there is nothing here\n' }
  const parts: Buffer[] = []
  let size = 0
  for await (const part of request) {
    size += (part as Buffer).length
    if (size > MOST_BODY) return { status: 413, text: 'too long\n' }
    parts.push(part as Buffer)
  }
  const said = witness.add(Buffer.concat(parts).toString('utf8'), Date.now())
  return said.status === 409 ? { ...said, type: 'text/x.tlog.size' } : said
}

interface State extends WitnessState {
  know(log: string): void
  conflicts(): object[]
  close(): void
}

function openState(path: string): State {
  const db = new DatabaseSync(path)
  chmodSync(path, 0o600)
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS logs (origin TEXT PRIMARY KEY, key TEXT NOT NULL, size INTEGER NOT NULL, note TEXT) STRICT;
    CREATE TABLE IF NOT EXISTS conflicts (
      id INTEGER PRIMARY KEY, origin TEXT NOT NULL, at INTEGER NOT NULL, proven INTEGER NOT NULL,
      known TEXT NOT NULL, offered TEXT NOT NULL
    ) STRICT`)
  const get = db.prepare('SELECT origin, key, size, note FROM logs WHERE origin = ?')
  const set = db.prepare(`INSERT INTO logs (origin, key, size, note) VALUES (?, ?, ?, ?)
    ON CONFLICT (origin) DO UPDATE SET key = excluded.key, size = excluded.size, note = excluded.note`)
  const add = db.prepare('INSERT INTO conflicts (origin, at, proven, known, offered) VALUES (?, ?, ?, ?, ?)')
  // Proven ones stay; of the others only the newest, since a log in trouble may send many.
  const trim = db.prepare('DELETE FROM conflicts WHERE proven = 0 AND id <= (SELECT max(id) FROM conflicts) - ?')
  return {
    get(origin) {
      const row = get.get(origin)
      if (row === undefined) return undefined
      const { key, size, note } = row as { key: string; size: number; note: string | null }
      return { origin, key, size, ...(note === null ? {} : { note }) }
    },
    set({ origin, key, size, note }: Seen) {
      set.run(origin, key, size, note ?? null)
    },
    misbehaved({ origin, at, proven, known, offered }) {
      add.run(origin, at, proven ? 1 : 0, known, offered)
      trim.run(MOST_CONFLICTS)
    },
    /** A log that is known already keeps what was seen of it; another key for it is an operator's decision. */
    know(log) {
      const { name, text } = parseVerifier(log)
      const seen = this.get(name)
      if (seen === undefined) set.run(name, text, 0, null)
    },
    conflicts: () => db.prepare('SELECT origin, at, proven, known, offered FROM conflicts ORDER BY id').all(),
    close: () => db.close(),
  }
}

function ownKey(path: string, name: string): Signer {
  if (existsSync(path)) {
    const { name: known, seed } = JSON.parse(readFileSync(path, 'utf8')) as { name: string; seed: string }
    return signerOf(known, Buffer.from(seed, 'base64'), COSIGNATURE)
  }
  const signer = newSigner(name, COSIGNATURE)
  writeFileSync(path, JSON.stringify({ name, seed: signer.seed.toString('base64') }), { mode: 0o600, flush: true })
  return signer
}
