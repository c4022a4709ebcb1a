/**
 * The key that seals secrets: given by the operator (32 bytes in base64 or hex, or a passphrase), else made on first
 * start in a file that only its owner may read. While a new key takes over, it stands beside the old one, so that a
 * kill between the two writes (rows, file) leaves one of them that opens the rows.
 */
import { createHash, randomBytes, scryptSync } from 'node:crypto'
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from './fault.ts'
import { MASTER_KEY_FILE } from './files.ts'

const BYTES = 32
const SHORTEST_PASSPHRASE = 16

export interface MasterKey {
  /** Written on each value it seals; says nothing about the key. */
  readonly id: string
  readonly bytes: Buffer
}

export const keyOf = (bytes: Buffer): MasterKey => ({
  id: createHash('sha256').update('stockyard master key id\0').update(bytes).digest('hex').slice(0, 16),
  bytes,
})

/** Throws `master_key` on anything too weak. The salt is used for passphrases only; it must stay the same. */
export function readMasterKey(text: string, salt: Uint8Array): MasterKey {
  const given = text.trim()
  if (/^[0-9a-fA-F]{64}$/.test(given)) return keyOf(Buffer.from(given, 'hex'))
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(given)) {
    const bytes = Buffer.from(given, 'base64')
    if (bytes.length === BYTES) return keyOf(bytes)
  }
  if (given.length < SHORTEST_PASSPHRASE) {
    throw new StoreError(
      'master_key',
      `The master key must be ${BYTES} bytes in base64 or hex, or a passphrase of at least ${SHORTEST_PASSPHRASE} characters.`,
    )
  }
  return keyOf(scryptSync(given, salt, BYTES, { N: 32_768, r: 8, p: 1, maxmem: 64 * 1024 * 1024 }))
}

export class MasterKeyFile {
  readonly #path: string
  readonly #next: string

  constructor(dataDir: string) {
    this.#path = join(dataDir, MASTER_KEY_FILE)
    this.#next = `${this.#path}.next`
  }

  /** `inUse` tells whether a key id is on stored values: it decides which key holds after a kill in a rotation. */
  load(inUse: (keyId: string) => boolean): MasterKey {
    if (existsSync(this.#next)) {
      if (inUse(read(this.#next).id)) renameSync(this.#next, this.#path)
      else rmSync(this.#next)
    }
    if (!existsSync(this.#path)) write(this.#path, randomBytes(BYTES))
    return read(this.#path)
  }

  /** `take` re-seals everything under the new key, all or nothing. */
  replace(key: MasterKey, take: () => void): void {
    write(this.#next, key.bytes)
    try {
      take()
    } catch (error) {
      rmSync(this.#next)
      throw error
    }
    renameSync(this.#next, this.#path)
  }
}

function write(path: string, bytes: Buffer): void {
  writeFileSync(path, `${bytes.toString('base64')}\n`, { mode: 0o600, flush: true })
}

function read(path: string): MasterKey {
  const bytes = Buffer.from(readFileSync(path, 'utf8').trim(), 'base64')
  if (bytes.length !== BYTES) throw new StoreError('master_key', `${path} does not hold ${BYTES} bytes in base64.`)
  return keyOf(bytes)
}
