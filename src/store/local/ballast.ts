/**
 * A file that only takes up space. When the disk is full it is given up, so that what is already running can still be
 * booked; service resumes once there is room to make it again.
 */

import { randomFillSync } from 'node:crypto'
import { closeSync, openSync, renameSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { BALLAST_FILE } from './files.ts'

export class Ballast {
  readonly #dataDir: string
  readonly #path: string
  readonly #bytes: number
  readonly #make: (dataDir: string, bytes: number) => Promise<void>

  /** `make` writes the file somewhere else than on the serving thread. */
  constructor(dataDir: string, bytes: number, make: (dataDir: string, bytes: number) => Promise<void>) {
    this.#dataDir = dataDir
    this.#path = join(dataDir, BALLAST_FILE)
    this.#bytes = bytes
    this.#make = make
  }

  /** Gives the space back. False if there was nothing to give. */
  release(): boolean {
    if (this.#bytes === 0 || !this.stands()) return false
    rmSync(this.#path, { force: true })
    return true
  }

  /** True when the file stands (again). Asks for more room than it takes, so as not to fill the disk by itself. */
  async ensure(): Promise<boolean> {
    if (this.stands()) return true
    try {
      if (freeBytes(this.#dataDir) < this.#bytes * 1.25) return false
      await this.#make(this.#dataDir, this.#bytes)
      return true
    } catch {
      return false
    }
  }

  /** Whether the space is kept; of no bytes it always is. */
  stands(): boolean {
    return this.#bytes === 0 || statSync(this.#path, { throwIfNoEntry: false })?.size === this.#bytes
  }
}

/** Less than this free means that an I/O error was a full disk. */
const FULL_BELOW_BYTES = 1024 * 1024

export function diskIsFull(directory: string): boolean {
  try {
    return freeBytes(directory) < FULL_BELOW_BYTES
  } catch {
    return false
  }
}

/** Bytes that an ordinary process may still write on the directory's file system. */
function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize
}

/** Random bytes, because some file systems keep zeros for nothing. Leaves no half file. */
export function writeBallast(dataDir: string, bytes: number): void {
  const path = join(dataDir, BALLAST_FILE)
  const unfinished = `${path}.new`
  const chunk = randomFillSync(Buffer.alloc(Math.min(bytes, 1024 * 1024)))
  try {
    const file = openSync(unfinished, 'w', 0o600)
    try {
      for (let left = bytes; left > 0; ) left -= writeSync(file, chunk, 0, Math.min(left, chunk.length))
    } finally {
      closeSync(file)
    }
    renameSync(unfinished, path)
  } catch (error) {
    rmSync(unfinished, { force: true })
    throw error
  }
}
