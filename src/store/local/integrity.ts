/**
 * What is checked before the first byte is written: the SQLite library, and that the files which must not be lost are
 * whole. A damaged file is never touched: it is read without a write lock, and the start is refused.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { complaintOf, StoreError } from './fault.ts'

/** From 3.7.0 on, two connections could damage a WAL file when it was reset; mended in 3.51.3. */
export function checkLibrary(version: string): void {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  const number = major * 1_000_000 + minor * 1_000 + patch
  if (number >= 3_007_000 && number < 3_051_003) {
    throw new StoreError(
      'old_sqlite',
      `SQLite ${version} can damage a database when its write-ahead log is reset. 3.51.3 or newer is needed; use the Node that comes with this program.`,
    )
  }
}

/** Larger files are not read through at start; their damage shows on reading. */
const CHECKED_UP_TO_BYTES = 64 * 1024 * 1024

/** `otherwise`: what can be done besides restoring a backup. Throws `corrupt`. Call it under the lock and before any connection to the file is open (see database.ts). */
export function checkFile(path: string, otherwise = ''): void {
  const problem = headerProblem(path) ?? pageProblem(path)
  if (problem === undefined) return
  throw new StoreError(
    'corrupt',
    `${path} is damaged (${problem}) and was left as it is. Restore a backup with "stockyard restore <backup directory>"${otherwise}.`,
  )
}

/** Bytes of the file, 0 if there is none. */
export const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

const MAGIC = Buffer.from('SQLite format 3\0')

function headerProblem(path: string): string | undefined {
  if (sizeOf(path) === 0) return undefined
  const header = Buffer.alloc(100)
  const file = openSync(path, 'r')
  let size: number
  try {
    size = fstatSync(file).size
    if (readSync(file, header, 0, 100, 0) < 100) return 'shorter than a header'
  } finally {
    closeSync(file)
  }
  if (!header.subarray(0, 16).equals(MAGIC)) return 'not a SQLite header'
  const declared = header.readUInt16BE(16)
  const pageBytes = declared === 1 ? 65_536 : declared
  if (pageBytes < 512 || (pageBytes & (pageBytes - 1)) !== 0) return 'no valid page size'
  // While a log stands beside the file, its newest pages may be there only.
  if (sizeOf(`${path}-wal`) > 0) return undefined
  const pages = header.readUInt32BE(28)
  if (size < pages * pageBytes) return `${size} bytes where the header says ${pages * pageBytes}`
  return undefined
}

function pageProblem(path: string): string | undefined {
  const size = sizeOf(path)
  if (size === 0 || size > CHECKED_UP_TO_BYTES) return undefined
  // Read-only, so that closing it does not checkpoint into a file that may be damaged.
  const db = new DatabaseSync(path, { readOnly: true, timeout: 1000 })
  try {
    const first = db.prepare('PRAGMA quick_check(1)').get()?.quick_check
    return first === 'ok' ? undefined : String(first).replaceAll('\n', ' ')
  } catch (error) {
    if (complaintOf(error) !== 'corrupt') throw error
    return error instanceof Error ? error.message : String(error)
  } finally {
    db.close()
  }
}
