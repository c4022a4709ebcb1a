/**
 * Virtual keys as text: `sk-sy-<public id>_<secret><checksum>`. The public id may stand in logs; of the secret only a keyed
 * hash is kept. The checksum tells a key that lost a character from one that was never issued, without reading anything.
 */
import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Directory, Key } from './directory.ts'
import type { JsonObject } from './request.ts'
import type { Store } from './store.ts'

export const KEY_PREFIX = 'sk-sy-'
const ID_LENGTH = 12
const SECRET_LENGTH = 40
const CHECKSUM_LENGTH = 6
const WHOLE = /^sk-sy-([0-9A-Za-z]{12})_[0-9A-Za-z]{46}$/
const LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** What is kept of a key's secret, beside its row. */
interface KeyProof extends JsonObject {
  readonly mac: string
  /** The secret before the last rotation: remembered after its end too, so that it can be told from a wrong one. */
  readonly replaced?: string
}

export interface Minted {
  readonly id: string
  /** The whole key: shown once, kept nowhere. */
  readonly key: string
  readonly proof: JsonObject
}

/** Who a text names, or why it names nobody. */
export type KeyReading =
  | { readonly kind: 'good'; readonly row: Key }
  /** Not even a key; `problem` says how it is wrong and what to do. Costs no read. */
  | { readonly kind: 'malformed'; readonly problem: string }
  | { readonly kind: 'unknown' }
  /** The secret before the last rotation, after the overlap. */
  | { readonly kind: 'replaced'; readonly row: Key }

export interface Keyring {
  /** Throws `storage_unavailable` where it cannot know: never "unknown" then. */
  read(text: string, now: number): KeyReading
  /** A new key, or a new secret for the key of this id. */
  mint(id?: string): Minted
  /** What is kept when a new secret takes the place of the present one. */
  rotated(id: string, minted: Minted): JsonObject
}

export function createKeyring(
  store: Pick<Store, 'secrets'> & { readonly directory: Pick<Directory, 'get' | 'proof'> },
): Keyring {
  const { directory } = store
  let kept: string | undefined
  const pepper = (): string => {
    kept ??= store.secrets.open('stockyard', 'key-pepper')
    if (kept === undefined) {
      kept = randomBytes(32).toString('base64url')
      store.secrets.seal('stockyard', 'key-pepper', kept)
    }
    return kept
  }
  const macOf = (text: string): Buffer => createHmac('sha256', pepper()).update(text).digest()
  /**
   * What a good key's text hashes to in this process alone, so that the next request needs no keyed hash. A row that changes is
   * another object. Nobody can aim at a hash whose salt they do not know, so it may be compared as a text is.
   */
  const salt = randomBytes(32).toString('base64url')
  const verified = new WeakMap<Key, string>()

  return {
    read(text, now) {
      const id = WHOLE.exec(text)?.[1]
      if (id === undefined) return { kind: 'malformed', problem: problemOf(text) }
      const body = text.slice(0, -CHECKSUM_LENGTH)
      if (checksum(body) !== text.slice(-CHECKSUM_LENGTH)) return { kind: 'malformed', problem: DAMAGED }
      const row = directory.get('key', id)
      const digest = hash('sha256', salt + text)
      if (row && verified.get(row) === digest) return { kind: 'good', row }
      const proof = directory.proof('key', id) as KeyProof | undefined
      const mac = macOf(text)
      if (!row || !proof) return { kind: 'unknown' }
      if (timingSafeEqual(mac, Buffer.from(proof.mac, 'base64url'))) {
        verified.set(row, digest)
        return { kind: 'good', row }
      }
      if (proof.replaced !== undefined && timingSafeEqual(mac, Buffer.from(proof.replaced, 'base64url'))) {
        return row.overlapUntil !== undefined && now < row.overlapUntil
          ? { kind: 'good', row }
          : { kind: 'replaced', row }
      }
      return { kind: 'unknown' }
    },
    mint(id = letters(ID_LENGTH)) {
      const body = `${KEY_PREFIX}${id}_${letters(SECRET_LENGTH)}`
      const key = body + checksum(body)
      return { id, key, proof: { mac: macOf(key).toString('base64url') } }
    },
    rotated(id, minted) {
      const before = directory.proof('key', id) as KeyProof | undefined
      return before ? { ...minted.proof, replaced: before.mac } : minted.proof
    },
  }
}

const DAMAGED =
  'its checksum does not fit, so a character was lost or changed on the way; copy it again from where it was shown'

function problemOf(text: string): string {
  if (!text.startsWith(KEY_PREFIX)) {
    return `it does not begin with "${KEY_PREFIX}"; a provider's own key is not accepted here`
  }
  const rest = text.slice(KEY_PREFIX.length)
  const separator = rest.indexOf('_')
  if (separator !== ID_LENGTH)
    return `"${KEY_PREFIX}" must be followed by ${ID_LENGTH} letters or digits and "_"; copy the whole key`
  const strange = /[^0-9A-Za-z]/.exec(rest.slice(separator + 1))
  if (strange) return `it contains ${JSON.stringify(strange[0])}, which no key has; copy it without quotes or spaces`
  const missing = ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH - rest.length
  return missing > 0
    ? `it is ${counted(missing)} too short; copy the whole key`
    : `it is ${counted(-missing)} too long; copy the key alone`
}

const counted = (n: number): string => `${n} ${n === 1 ? 'character' : 'characters'}`

function checksum(text: string): string {
  let left = crc32(text)
  let written = ''
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    written = LETTERS[left % LETTERS.length] + written
    left = Math.floor(left / LETTERS.length)
  }
  return written
}

/** Letters and digits, each equally likely: bytes above the last whole multiple are thrown away. */
export function letters(length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < 248 && text.length < length) text += LETTERS[byte % LETTERS.length]
    }
  }
  return text
}

/** The gateway's own header for a key of its own: for clients whose other headers carry a vendor's sign-in (A69). */
export const KEY_HEADER = 'x-stockyard-key'

/** Wherever the SDKs put a key. */
export function sentKey(headers: Readonly<Record<string, string | undefined>>): string | undefined {
  const { authorization, [KEY_HEADER]: own } = headers
  if (own !== undefined) return BEARER.exec(own)?.[1] ?? own
  if (authorization !== undefined) {
    const bearer = BEARER.exec(authorization)?.[1]
    if (bearer !== undefined) return bearer
  }
  return headers['x-api-key'] ?? headers['api-key'] ?? headers['x-goog-api-key']
}
const PLACES = [KEY_HEADER, 'authorization', 'x-api-key', 'api-key', 'x-goog-api-key']
export const withoutKeys = (headers: Readonly<Record<string, string | undefined>>) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !PLACES.includes(name)))

/** A key that may be a vendor's: one beside the gateway's own, or one of a caller who needs none here. */
export function broughtKey(
  headers: Readonly<Record<string, string | undefined>>,
  needsNone: boolean,
): string | undefined {
  const own = headers[KEY_HEADER]
  if (own === undefined && !needsNone) return undefined
  const { [KEY_HEADER]: _, ...others } = headers
  const brought = sentKey(others)
  return brought?.startsWith(KEY_PREFIX) || (own !== undefined && brought === sentKey(headers)) ? undefined : brought
}
const BEARER = /^Bearer[ ]+(\S+)$/i
