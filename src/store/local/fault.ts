/**
 * What can go wrong with files, in two kinds: why the store refuses to open (told to an operator), and what SQLite's
 * complaint means for whoever waits for a write (busy, full, broken).
 */
import { failure, GatewayError } from '../../core/errors.ts'

export type StoreErrorCode =
  | 'corrupt'
  | 'in_use'
  | 'newer_schema'
  | 'migration_failed'
  | 'old_sqlite'
  | 'master_key'
  | 'bad_backup'
  | 'not_empty'

/** The store cannot be opened or restored. The message says what to do next. */
export class StoreError extends Error {
  readonly code: StoreErrorCode
  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'StoreError'
    this.code = code
  }
}

/** A worker ended while a call was under way; it is started again. */
export class WorkerGone extends Error {}

/** `sync`: an fsync failed, so nobody knows what is on the disk; it must not be tried again. */
export type Complaint = 'busy' | 'full' | 'io' | 'sync' | 'corrupt' | 'gone' | 'other'

const IO_SYNC = [1034, 1290]

/** Reads SQLite's extended result code off an error, also off one that came from a worker. */
export function complaintOf(error: unknown): Complaint {
  if (error instanceof WorkerGone) return 'gone'
  const code = (error as { errcode?: unknown } | undefined)?.errcode
  if (typeof code !== 'number') return 'other'
  if (IO_SYNC.includes(code)) return 'sync'
  switch (code & 0xff) {
    case 5: // BUSY
    case 6: // LOCKED
      return 'busy'
    case 13: // FULL
      return 'full'
    case 8: // READONLY: the file system was remounted after an error
    case 10: // IOERR
    case 14: // CANTOPEN
      return 'io'
    case 11: // CORRUPT
    case 26: // NOTADB
      return 'corrupt'
    default:
      return 'other'
  }
}

const PROBLEMS: Readonly<Record<Complaint, string>> = {
  busy: 'another process holds the file',
  full: 'the disk is full',
  io: 'the disk reports an error',
  sync: 'the disk failed to keep what was written; the gateway must be restarted',
  corrupt: 'the file is damaged; stop the gateway and run "stockyard restore <backup directory>"',
  gone: 'the thread that writes it is being started again',
  other: 'an unexpected error',
}

export const problemOf = (complaint: Complaint): string => PROBLEMS[complaint]

/** The failure that a caller of an administrative write sees. Decisions and bugs pass as they are. */
export function storageFailure(error: unknown): unknown {
  if (error instanceof GatewayError) return error
  const complaint = complaintOf(error)
  if (complaint === 'other') return error
  if (complaint === 'full') return failure('storage_full', {}, error)
  return failure('storage_unavailable', { problem: problemOf(complaint) }, error)
}
