/** `stockyard audit …`: proving the trail offline, exporting it, keeping its checkpoints, and beginning it anew. */
import { createReadStream, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pipeline } from 'node:stream/promises'
import type { Command, Option } from 'commander'
import type { Former, KeyFileText } from '../modules/audit/epochs.ts'
import { parseCheckpoint, parseNote } from '../modules/audit/note.ts'
import { type TreeVerdict, verifyFile } from '../modules/audit/offline.ts'
import { tables } from '../modules/audit/tables.ts'
import { type Trusted, verifyExport } from '../modules/audit/verify.ts'
import { takeLock } from '../store/local/files.ts'
import { type ClientFlags, call, download } from './client.ts'
import { fail } from './words.ts'

interface VerifyFlags {
  readonly dataDir: string
  readonly key: string[]
  readonly checkpoint: string[]
  readonly json?: boolean
}

export function auditCommand(stockyard: Command, dataDir: () => Option): void {
  const audit = stockyard.command('audit').description('the audit trail: verify, export, checkpoints')
  audit
    .command('verify [export]')
    .description('verify an export, or without one the trail in the data directory; needs no running gateway')
    .addOption(dataDir())
    .option('--key <key...>', 'a public key that you trust, as name+id+key', [])
    .option('--checkpoint <file...>', 'a checkpoint that you kept', [])
    .option('--json', 'as JSON')
    .action(async (file: string | undefined, flags: VerifyFlags) => {
      const trusted = { keys: flags.key, checkpoints: flags.checkpoint.map((path) => readFileSync(path, 'utf8')) }
      const verdicts = file === undefined ? verifyDirectory(flags.dataDir, trusted) : [await verifyOne(file, trusted)]
      if (verdicts === undefined) fail(`there is no audit trail in ${flags.dataDir}, or nothing of it was signed yet`)
      report(verdicts, trusted, flags.json === true)
      if (verdicts.some(({ problems }) => problems.length > 0)) process.exitCode = 1
    })
  const own = (name: string, description: string): Command =>
    audit
      .command(name)
      .description(description)
      .option('--url <address>', 'the gateway', process.env.STOCKYARD_URL ?? 'http://127.0.0.1:4200')
      .addOption(dataDir())
  own('export', 'write an export that verifies offline to the standard output')
    .option('--format <format>', 'jsonl or csv', 'jsonl')
    .option('--organization <id>', 'the tree of an organization; else the instance’s own')
    .option('--since <time>', 'ISO time')
    .option('--until <time>', 'ISO time')
    .option('--continues <file>', 'a checkpoint that you kept: the export proves that it continues it')
    .action(async (flags: ClientFlags & Record<string, string>) => {
      const query = new URLSearchParams({ format: flags.format ?? 'jsonl' })
      for (const name of ['organization', 'since', 'until']) if (flags[name]) query.set(name, flags[name])
      if (flags.continues) query.set('continues', String(checkpointIn(flags.continues).size))
      await pipeline(await download(flags, `audit?${query}`), process.stdout, { end: false })
    })
  own('checkpoint', 'print a fresh checkpoint, for you to keep')
    .option('--keys', 'print the public keys of the log instead, the first one first')
    .option('--json', 'as JSON')
    .action(async (flags: ClientFlags & { keys?: boolean }) => {
      const answer = (await call(flags, 'GET', 'audit/checkpoint')) as { checkpoint: string; epochs: { key: string }[] }
      if (flags.json) console.log(JSON.stringify(answer))
      else process.stdout.write(flags.keys ? answer.epochs.map(({ key }) => `${key}\n`).join('') : answer.checkpoint)
    })
  audit
    .command('restart')
    .description('put a trail that is not extended any more aside and begin another; the gateway must not be running')
    .addOption(dataDir())
    .requiredOption('--reason <text>', 'why; the first record of the new trail says it')
    .action(({ dataDir: directory, reason }: { dataDir: string; reason: string }) => restart(directory, reason))
}

const checkpointIn = (path: string) => parseCheckpoint(parseNote(readFileSync(path, 'utf8')).text)

async function verifyOne(file: string, trusted: Trusted): Promise<TreeVerdict> {
  const input = createReadStream(file, 'utf8')
  const lines = file.endsWith('.csv') ? linesOfCsv(input) : linesOf(input)
  return { organization: null, ...(await verifyExport(lines, trusted)) }
}

/** Undefined if the directory holds no trail that was ever signed. */
export function verifyDirectory(dataDir: string, trusted: Trusted): TreeVerdict[] | undefined {
  const path = join(dataDir, 'audit.db')
  if (!existsSync(path)) return undefined
  const db = new DatabaseSync(path, { readOnly: true, timeout: 5_000 })
  try {
    return verifyFile((name) => db.prepare(tables.statements[name] as string) as never, trusted)
  } finally {
    db.close()
  }
}

function report(verdicts: readonly TreeVerdict[], trusted: Trusted, json: boolean): void {
  if (json) {
    const shown = verdicts.map(({ checkpoint, ...verdict }) => ({ ...verdict, size: checkpoint?.size ?? null }))
    console.log(JSON.stringify(shown))
    return
  }
  for (const { organization, problems, records, checkpoint, against } of verdicts) {
    for (const problem of problems) console.error(`WRONG  ${problem}`)
    const of = organization === null ? '' : ` of organization ${organization}`
    const all = problems.length === 0 ? 'all as they were signed' : `${problems.length} problems`
    console.log(`${records} records${of}, ${all}${checkpoint ? ` (checkpoint of ${checkpoint.size})` : ''}`)
    for (const who of against) console.log(`  held against ${who}`)
  }
  if (trusted.keys.length + trusted.checkpoints.length === 0) {
    console.error('NOTE   without --key or --checkpoint this only shows that the trail agrees with itself')
  }
}

/** A record may hold U+2028, at which some line readers break: lines end with a line feed and nothing else. */
async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of chunks) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() as string
    yield* parts
  }
  if (rest !== '') yield rest
}

/** The lines of JSON that a CSV export stands for: its last columns are leaf, hash, proof and record. */
async function* linesOfCsv(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let header = true
  for await (const row of rowsOf(chunks)) {
    const [leaf = '', hash = '', proof = '', record = ''] = row.slice(-4)
    const path = proof === '' ? '' : `"proof":${JSON.stringify(proof.split(' '))},`
    if (!header) yield leaf === '' ? record : `{"hash":"${hash}","leaf":${leaf},${path}"record":${record}}`
    header = false
  }
}

async function* rowsOf(chunks: AsyncIterable<string>): AsyncGenerator<string[]> {
  let quoted = false
  let rest = ''
  for await (const chunk of chunks) {
    rest += chunk
    let start = 0
    for (let end = rest.indexOf('\n', start); end >= 0; end = rest.indexOf('\n', end + 1)) {
      const line = rest.slice(start, end)
      quoted = (line.match(/"/g)?.length ?? 0) % 2 === 1
      if (quoted) continue
      yield [...line.replace(/\r$/, '').matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
        ([, inner, plain]) => inner?.replaceAll('""', '"') ?? plain ?? '',
      )
      start = end + 1
    }
    rest = rest.slice(start)
  }
}

/** What was there stays for whoever wants to look at it; the new log says that it follows it, and why. */
function restart(dataDir: string, reason: string): void {
  const lock = (() => {
    try {
      return takeLock(dataDir)
    } catch (error) {
      return fail((error as Error).message)
    }
  })()
  try {
    const keyFile = join(dataDir, 'audit.key')
    const former = { ...formerLog(dataDir), reason, at: new Date().toISOString() }
    const aside = join(dataDir, `audit-replaced-${Date.now()}`)
    mkdirSync(aside, { mode: 0o700 })
    for (const name of ['audit.db', 'audit.db-wal', 'audit.db-shm', 'audit.key']) {
      if (existsSync(join(dataDir, name))) renameSync(join(dataDir, name), join(aside, name))
    }
    writeFileSync(keyFile, JSON.stringify({ former }), { mode: 0o600, flush: true })
    console.log(`the trail that was there is in ${aside}; the next start begins another`)
  } finally {
    lock.release()
  }
}

/** What the log was called and signed last: from its key file, else from the log itself, as far as they can be read. */
function formerLog(dataDir: string): { origin: string; checkpoint?: string } {
  const key = readable(
    () => JSON.parse(readFileSync(join(dataDir, 'audit.key'), 'utf8')) as Partial<KeyFileText & Former>,
  )
  // Restarted twice before a start: the log that was is the first one.
  const kept = key?.former ?? key
  const path = join(dataDir, 'audit.db')
  const log = existsSync(path) ? readable(() => lastWords(path)) : undefined
  const checkpoint = kept?.checkpoint ?? log?.checkpoint
  return { origin: kept?.origin ?? log?.origin ?? '', ...(checkpoint === undefined ? {} : { checkpoint }) }
}

function lastWords(path: string): { origin?: string | undefined; checkpoint?: string | undefined } {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    const statement = (name: string) => db.prepare(tables.statements[name] as string)
    return {
      origin: statement('fact').get('origin')?.value as string | undefined,
      checkpoint: statement('newestCheckpoint').get()?.note as string | undefined,
    }
  } finally {
    db.close()
  }
}

/** A damaged file says nothing; what it was is put aside all the same. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
