/**
 * Backup of a data directory while it is in use, and restoring it while it is not. A backup is a directory: one
 * consistent copy of each database, the key files, and `manifest.json`, written last and naming every file's SHA-256.
 */
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { backup as copyDatabase, DatabaseSync } from 'node:sqlite'
import { StoreError } from './fault.ts'
import { DATABASES, databasePath, LOCK_FILE, MASTER_KEY_FILE, prepareDirectory, takeLock } from './files.ts'
import { type SchemaVersions, schemaVersions } from './migrate.ts'

export interface BackupManifest {
  readonly format: 1
  /** Milliseconds since 1970. */
  readonly at: number
  readonly files: readonly BackupFile[]
}
export interface BackupFile {
  readonly name: string
  readonly bytes: number
  readonly sha256: string
  /** Of a database: owner → number of its newest migration. */
  readonly schema?: SchemaVersions
}

export const MANIFEST_FILE = 'manifest.json'
/** Where copies stand until all of them are checked. */
const STAGING = 'restoring'
/** Without the master key a restored database could not open its credentials; whoever keeps a backup keeps it too. */
const KEY_FILES = [MASTER_KEY_FILE, 'admin.key']
/** More pages than any file has: one read transaction, since a copy in steps starts anew with each write. */
const ALL_PAGES = 0x7fff_ffff

/** Throws `not_empty`. The directory is made; it holds secrets, so only its owner may read it. */
export async function backUp(dataDir: string, toDir: string, at: number): Promise<BackupManifest> {
  if (existsSync(toDir) && readdirSync(toDir).length > 0) {
    throw new StoreError('not_empty', `${toDir} is not empty. A backup is written into a new directory.`)
  }
  prepareDirectory(toDir)
  const files: BackupFile[] = []
  for (const database of DATABASES) {
    const path = databasePath(dataDir, database)
    if (!existsSync(path)) continue
    const name = `${database}.db`
    const source = new DatabaseSync(path, { readOnly: true, timeout: 5_000 })
    let schema: SchemaVersions
    try {
      await copyDatabase(source, join(toDir, name), { rate: ALL_PAGES })
      schema = schemaVersions(source)
    } finally {
      source.close()
    }
    files.push({ ...(await described(toDir, name)), schema })
  }
  for (const name of KEY_FILES) {
    if (!existsSync(join(dataDir, name))) continue
    copyFileSync(join(dataDir, name), join(toDir, name))
    files.push(await described(toDir, name))
  }
  const manifest: BackupManifest = { format: 1, at, files }
  writeFileSync(join(toDir, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600, flush: true })
  return manifest
}

export interface RestoreOptions {
  /** Puts what is in the data directory aside (into `replaced-<time>`) instead of refusing. */
  readonly replace?: boolean
  readonly now?: () => number
}

/**
 * Checks the backup whole, copies it, reads every page of the copies, and only then moves them into place.
 * Throws `bad_backup`, `not_empty`, or `in_use` while an instance runs on the data directory.
 */
export async function restore(fromDir: string, dataDir: string, options: RestoreOptions = {}): Promise<BackupManifest> {
  const manifest = readManifest(fromDir)
  for (const file of manifest.files) {
    const found = existsSync(join(fromDir, file.name)) ? await described(fromDir, file.name) : undefined
    if (found?.sha256 !== file.sha256) {
      throw new StoreError(
        'bad_backup',
        `${join(fromDir, file.name)} is not what its manifest says; nothing was restored.`,
      )
    }
  }
  prepareDirectory(dataDir)
  const lock = takeLock(dataDir)
  try {
    const present = readdirSync(dataDir).filter((name) => name !== STAGING && !name.startsWith(LOCK_FILE))
    if (present.length > 0 && !options.replace) {
      throw new StoreError(
        'not_empty',
        `${dataDir} is not empty. Restore into a new directory, or say that it may be replaced.`,
      )
    }
    const staging = join(dataDir, STAGING)
    rmSync(staging, { recursive: true, force: true })
    mkdirSync(staging, { mode: 0o700 })
    for (const { name, schema } of manifest.files) {
      copyFileSync(join(fromDir, name), join(staging, name))
      chmodSync(join(staging, name), 0o600)
      if (schema !== undefined) readThrough(join(staging, name))
    }
    if (present.length > 0) {
      const aside = join(dataDir, `replaced-${(options.now ?? Date.now)()}`)
      mkdirSync(aside, { mode: 0o700 })
      for (const name of present) renameSync(join(dataDir, name), join(aside, name))
    }
    for (const { name } of manifest.files) renameSync(join(staging, name), join(dataDir, name))
    rmSync(staging, { recursive: true })
  } finally {
    lock.release()
  }
  return manifest
}

function readManifest(fromDir: string): BackupManifest {
  try {
    const manifest = JSON.parse(readFileSync(join(fromDir, MANIFEST_FILE), 'utf8')) as BackupManifest
    const known = [...DATABASES.map((name) => `${name}.db`), ...KEY_FILES]
    if (manifest.format !== 1 || !manifest.files.every((file) => known.includes(file.name)))
      throw new Error('unknown format')
    return manifest
  } catch (error) {
    throw new StoreError('bad_backup', `${fromDir} holds no backup that this version can read.`, error)
  }
}

/** Reads the copy, never the backup: SQLite writes beside what it opens. */
function readThrough(path: string): void {
  const db = new DatabaseSync(path)
  try {
    const first = db.prepare('PRAGMA integrity_check(1)').get()?.integrity_check
    if (first !== 'ok')
      throw new StoreError('bad_backup', `The backup's ${path} is damaged: ${first}. Nothing was restored.`)
  } finally {
    db.close()
  }
}

async function described(directory: string, name: string): Promise<BackupFile> {
  const path = join(directory, name)
  chmodSync(path, 0o600)
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer)
  return { name, bytes: statSync(path).size, sha256: hash.digest('hex') }
}
