/**
 * Secrets at rest: AES-256-GCM under the master key, each bound to its owner, its name and its key, so that a row that
 * was moved or exchanged does not open. Never listed, logged or returned except by `open`.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { failure } from '../../core/errors.ts'
import { type Change, recordChange } from './changes.ts'
import type { Transact } from './database.ts'
import { keyOf, type MasterKey, MasterKeyFile, readMasterKey } from './master-key.ts'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

export interface SecretFacts {
  readonly name: string
  readonly keyId: string
  readonly updatedAt: number
}

interface SealedRow {
  readonly owner: string
  readonly name: string
  readonly key_id: string
  readonly nonce: Uint8Array
  readonly sealed: Uint8Array
}

export interface SecretsOptions {
  readonly transact: Transact
  readonly dataDir: string
  /** As the operator gave it; absent: the key file of the data directory. */
  readonly masterKey: string | undefined
  readonly now: () => number
}

export class Secrets {
  readonly #db: DatabaseSync
  readonly #transact: Transact
  readonly #now: () => number
  readonly #file: MasterKeyFile | undefined
  #key: MasterKey

  /** Throws `master_key`. */
  constructor(db: DatabaseSync, options: SecretsOptions) {
    this.#db = db
    this.#transact = options.transact
    this.#now = options.now
    if (options.masterKey === undefined) {
      this.#file = new MasterKeyFile(options.dataDir)
      this.#key = this.#file.load(
        (keyId) => db.prepare('SELECT 1 FROM secrets WHERE key_id = ? LIMIT 1').get(keyId) !== undefined,
      )
    } else {
      this.#key = readMasterKey(options.masterKey, this.#salt())
    }
  }

  /** With `change`, who did it is recorded in the same transaction; never the secret. */
  seal(owner: string, name: string, plain: string, change?: Change): void {
    this.#write(owner, name, change, () => this.#put(this.#sealed(this.#key, owner, name, plain)))
  }

  /** Undefined if there is none, or it does not open under the present master key (see `undecryptable`). */
  open(owner: string, name: string): string | undefined {
    const row = this.#db
      .prepare('SELECT owner, name, key_id, nonce, sealed FROM secrets WHERE owner = ? AND name = ?')
      .get(owner, name)
    return row === undefined ? undefined : this.#opened(row as unknown as SealedRow)
  }

  remove(owner: string, name: string, change?: Change): void {
    this.#write(owner, name, change, () => {
      this.#db.prepare('DELETE FROM secrets WHERE owner = ? AND name = ?').run(owner, name)
    })
  }

  list(owner: string): SecretFacts[] {
    return this.#db
      .prepare('SELECT name, key_id, updated_at FROM secrets WHERE owner = ? ORDER BY name')
      .all(owner)
      .map((row) => ({
        name: row.name as string,
        keyId: row.key_id as string,
        updatedAt: row.updated_at as number,
      }))
  }

  /** `owner/name` of every secret that the present master key does not open. */
  undecryptable(): string[] {
    return this.#all()
      .filter((row) => this.#opened(row) === undefined)
      .map((row) => `${row.owner}/${row.name}`)
  }

  /**
   * Seals every secret anew, in one transaction, and returns how many. The new key is 32 bytes, or text as the operator
   * would give it at start. A dry run does all but write. Throws `conflict` if a secret does not open: then its key
   * would be lost with it.
   */
  rotate(to: Buffer | string, options: { readonly dryRun?: boolean; readonly actor?: string } = {}): number {
    const next = typeof to === 'string' ? readMasterKey(to, this.#salt()) : keyOf(to)
    const rows = this.#all()
    const sealed = rows.map((row) => {
      const plain = this.#opened(row)
      if (plain === undefined) {
        throw failure('conflict', {
          problem: `the secret ${row.owner}/${row.name} does not open under the present master key; set it anew or remove it first`,
        })
      }
      return this.#sealed(next, row.owner, row.name, plain)
    })
    if (options.dryRun) return rows.length
    const take = (): void => {
      this.#transact(() => {
        for (const row of sealed) this.#put(row)
        recordChange(this.#db, this.#now(), 'master-key', {
          actor: options.actor ?? 'operator',
          action: 'rotate',
          before: { keyId: this.#key.id },
          after: { keyId: next.id, secrets: rows.length },
        })
      })
    }
    if (this.#file === undefined) take()
    else this.#file.replace(next, take)
    this.#key = next
    return rows.length
  }

  #write(owner: string, name: string, change: Change | undefined, work: () => void): void {
    this.#transact(() => {
      work()
      if (change !== undefined) recordChange(this.#db, this.#now(), `secret:${owner}/${name}`, change)
    })
  }

  #put(row: SealedRow): void {
    this.#db
      .prepare(
        'INSERT OR REPLACE INTO secrets (owner, name, key_id, nonce, sealed, updated_at) VALUES (?, ?, ?, ?, ?, ?)',
      )
      .run(row.owner, row.name, row.key_id, row.nonce, row.sealed, this.#now())
  }

  #all(): SealedRow[] {
    return this.#db
      .prepare('SELECT owner, name, key_id, nonce, sealed FROM secrets ORDER BY owner, name')
      .all() as unknown as SealedRow[]
  }

  #sealed(key: MasterKey, owner: string, name: string, plain: string): SealedRow {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, key.bytes, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(boundTo(owner, name, key.id))
    const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()])
    return { owner, name, key_id: key.id, nonce, sealed }
  }

  #opened(row: SealedRow): string | undefined {
    if (row.key_id !== this.#key.id || row.sealed.length < TAG_BYTES) return undefined
    try {
      const decipher = createDecipheriv(CIPHER, this.#key.bytes, row.nonce, { authTagLength: TAG_BYTES })
      decipher.setAAD(boundTo(row.owner, row.name, row.key_id))
      decipher.setAuthTag(row.sealed.subarray(-TAG_BYTES))
      return Buffer.concat([decipher.update(row.sealed.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8')
    } catch {
      return undefined
    }
  }

  /** For passphrases; made once. */
  #salt(): Uint8Array {
    this.#db
      .prepare("INSERT INTO facts (name, value) VALUES ('master-key-salt', ?) ON CONFLICT DO NOTHING")
      .run(randomBytes(16))
    return this.#db.prepare("SELECT value FROM facts WHERE name = 'master-key-salt'").get()?.value as Uint8Array
  }
}

const boundTo = (owner: string, name: string, keyId: string): Buffer =>
  Buffer.from(JSON.stringify(['stockyard secret', owner, name, keyId]))
