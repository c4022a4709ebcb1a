/**
 * Kept replies: a bounded memory (least recently used goes first) over cache.db. Reads are synchronous, from memory or
 * through a read-only connection; writes go to the keeper in batches. There is no key without a module and a scope.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { JsonObject } from '../../core/request.ts'
import type { CacheEntry, ScopedCache } from '../../core/store.ts'
import type { CacheSize, CacheWrite } from './cache-file.ts'

export interface ReplyCacheOptions {
  readonly memoryBytes: number
  readonly now: () => number
  readonly send: (writes: readonly CacheWrite[], bodies: readonly ArrayBuffer[]) => Promise<CacheSize>
  readonly clear: () => Promise<CacheSize>
  /** While this says so nothing is written to the disk. */
  readonly paused: () => boolean
}

interface Kept {
  readonly entry: CacheEntry
  readonly expiresAt: number
  readonly bytes: number
}
interface Pending {
  readonly module: string
  readonly scope: string
  readonly key: string
  /** Absent: deleted. */
  readonly kept: Kept | undefined
}

/** Larger entries are not kept at all. */
const ENTRY_BYTES = 16 * 1024 * 1024
/** What an entry takes beside its text. */
const ENTRY_OVERHEAD_BYTES = 256
const FLUSH_MS = 50
const ENTRIES_PER_BATCH = 64
const RETRY_MS = 5_000
/** What may wait for the keeper; beyond it an entry stays in memory only. */
const PENDING_BYTES = 32 * 1024 * 1024

export class ReplyCache {
  readonly #options: ReplyCacheOptions
  readonly #read: StatementSync
  readonly #memory = new Map<string, Kept>()
  #memoryBytes = 0
  /** Not yet sent, and sent but not acknowledged: newer than what the file says. */
  #waiting = new Map<string, Pending>()
  #sent = new Map<string, Pending>()
  #pendingBytes = 0
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined
  #size: CacheSize = { entries: 0, bytes: 0 }
  /** While the file is being emptied it is not read. */
  #clearing = 0

  constructor(db: DatabaseSync, options: ReplyCacheOptions) {
    this.#options = options
    this.#read = db.prepare(
      'SELECT stored_at, expires_at, meta, body FROM entries WHERE module = ? AND scope = ? AND key = ?',
    )
  }

  of(module: string, scope: string): ScopedCache {
    return {
      get: (key) => this.#get(module, scope, key),
      set: (key, entry, ttlMs) => this.#set(module, scope, key, entry, ttlMs),
      delete: (key) => this.#delete(module, scope, key),
      written: () => this.#written(),
    }
  }

  /** As the keeper last counted the file. */
  size(): CacheSize {
    return this.#size
  }

  counted(size: CacheSize): void {
    this.#size = size
  }

  async clear(): Promise<void> {
    this.#memory.clear()
    this.#memoryBytes = 0
    for (const { kept } of this.#waiting.values()) this.#pendingBytes -= kept?.bytes ?? 0
    this.#waiting.clear()
    this.#sent = new Map()
    await this.#emptyFile()
  }

  /** Resolves when everything so far is in the file, or given up. */
  async flush(): Promise<void> {
    while (this.#waiting.size > 0 || this.#sending !== undefined) {
      this.#send()
      await this.#sending
    }
  }

  async #written(): Promise<void> {
    this.#send()
    // What waits behind a batch that is under way leaves as soon as that one is over.
    const isBehind = this.#waiting.size > 0
    await this.#sending
    if (isBehind) await this.#sending
  }

  #get(module: string, scope: string, key: string): CacheEntry | undefined {
    const id = idOf(module, scope, key)
    const kept = this.#memory.get(id)
    if (kept !== undefined) {
      if (kept.expiresAt <= this.#options.now()) return undefined
      this.#memory.delete(id)
      this.#memory.set(id, kept)
      return kept.entry
    }
    const pending = this.#waiting.get(id) ?? this.#sent.get(id)
    if (pending !== undefined) return this.#fresh(id, pending.kept)
    return this.#clearing > 0 ? undefined : this.#fresh(id, this.#stored(module, scope, key))
  }

  #fresh(id: string, kept: Kept | undefined): CacheEntry | undefined {
    if (kept === undefined || kept.expiresAt <= this.#options.now()) return undefined
    this.#remember(id, kept)
    return kept.entry
  }

  #stored(module: string, scope: string, key: string): Kept | undefined {
    try {
      const row = this.#read.get(module, scope, key)
      if (row === undefined) return undefined
      const bytes = row.body as Uint8Array
      const meta = row.meta as string
      const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const entry = { meta: JSON.parse(meta) as JsonObject, body, storedAt: row.stored_at as number }
      return { entry, expiresAt: row.expires_at as number, bytes: bytesOf(key, meta, body) }
    } catch {
      // A miss is always a right answer.
      return undefined
    }
  }

  #set(module: string, scope: string, key: string, entry: CacheEntry, ttlMs: number): void {
    const bytes = bytesOf(key, JSON.stringify(entry.meta), entry.body)
    if (!(ttlMs > 0) || bytes > ENTRY_BYTES) {
      this.#delete(module, scope, key)
      return
    }
    const kept: Kept = { entry, expiresAt: this.#options.now() + ttlMs, bytes }
    const id = idOf(module, scope, key)
    this.#remember(id, kept)
    // Where there is no room for it, an older entry in the file still has to go.
    const fits = this.#pendingBytes + bytes <= PENDING_BYTES && !this.#options.paused()
    this.#enqueue(id, { module, scope, key, kept: fits ? kept : undefined })
  }

  #delete(module: string, scope: string, key: string): void {
    const id = idOf(module, scope, key)
    this.#forget(id)
    this.#enqueue(id, { module, scope, key, kept: undefined })
  }

  #remember(id: string, kept: Kept): void {
    this.#forget(id)
    if (kept.bytes > this.#options.memoryBytes) return
    this.#memory.set(id, kept)
    this.#memoryBytes += kept.bytes
    for (const oldest of this.#memory.keys()) {
      if (this.#memoryBytes <= this.#options.memoryBytes) break
      this.#forget(oldest)
    }
  }

  #forget(id: string): void {
    const kept = this.#memory.get(id)
    if (kept === undefined) return
    this.#memory.delete(id)
    this.#memoryBytes -= kept.bytes
  }

  #enqueue(id: string, pending: Pending): void {
    this.#pendingBytes += (pending.kept?.bytes ?? 0) - (this.#waiting.get(id)?.kept?.bytes ?? 0)
    this.#waiting.set(id, pending)
    if (this.#waiting.size >= ENTRIES_PER_BATCH) this.#send()
    else this.#timer ??= setTimeout(this.#send, FLUSH_MS).unref()
  }

  /** Also after a write that failed: the file may then hold what was replaced or deleted since. */
  async #emptyFile(): Promise<void> {
    this.#clearing++
    try {
      this.counted(await this.#options.clear())
      this.#clearing--
    } catch {
      // Not read until it could be emptied.
      setTimeout(() => {
        this.#clearing--
        void this.#emptyFile()
      }, RETRY_MS).unref()
    }
  }

  readonly #send = (): void => {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#sending !== undefined || this.#waiting.size === 0) return
    const sent = this.#waiting
    this.#sent = sent
    this.#waiting = new Map()
    const bodies: ArrayBuffer[] = []
    const writes: CacheWrite[] = []
    let bytes = 0
    for (const { module, scope, key, kept } of sent.values()) {
      if (kept === undefined) {
        writes.push({ module, scope, key })
        continue
      }
      // A copy of exactly its bytes, which is handed over instead of cloned.
      const body = new Uint8Array(kept.entry.body)
      bodies.push(body.buffer)
      bytes += kept.bytes
      const { expiresAt } = kept
      const { storedAt } = kept.entry
      writes.push({
        module,
        scope,
        key,
        entry: { storedAt, expiresAt, meta: JSON.stringify(kept.entry.meta), body, bytes: kept.bytes },
      })
    }
    this.#sending = this.#options
      .send(writes, bodies)
      .then(
        (size) => this.counted(size),
        () => this.#emptyFile(),
      )
      .then(() => {
        this.#sent = new Map()
        this.#pendingBytes -= bytes
        this.#sending = undefined
        this.#send()
      })
  }
}

/** Lengths, so that no two triples can read the same. */
const idOf = (module: string, scope: string, key: string): string =>
  `${module.length} ${scope.length} ${module}${scope}${key}`

const bytesOf = (key: string, meta: string, body: Buffer): number =>
  body.length + 2 * (key.length + meta.length) + ENTRY_OVERHEAD_BYTES
