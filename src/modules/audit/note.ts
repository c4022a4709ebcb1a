/**
 * Checkpoints: what a log says of itself, signed. The text is that of C2SP tlog-checkpoint (origin, size, root, then lines
 * of our own), the signatures those of C2SP signed-note with Ed25519.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'

/** The type byte of Ed25519 in a signed note, and that of a witness's cosignature. */
const ED25519 = 1
export const COSIGNATURE = 4
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

export interface Verifier {
  readonly name: string
  readonly id: Buffer
  /** `name+id+key`, as signed-note writes a public key. */
  readonly text: string
  readonly type: number
  readonly key: KeyObject
}
export interface Signer {
  readonly verifier: Verifier
  /** The 32 secret bytes. */
  readonly seed: Buffer
  readonly key: KeyObject
}

function keyId(name: string, typed: Buffer): Buffer {
  return createHash('sha256').update(`${name}\n`).update(typed).digest().subarray(0, 4)
}

function verifierOf(name: string, raw: Buffer, type: number): Verifier {
  const typed = Buffer.concat([Buffer.from([type]), raw])
  const id = keyId(name, typed)
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' })
  return { name, id, type, key, text: `${name}+${id.toString('hex')}+${typed.toString('base64')}` }
}

export function newSigner(name: string, type = ED25519): Signer {
  const { privateKey } = generateKeyPairSync('ed25519')
  const der = privateKey.export({ format: 'der', type: 'pkcs8' })
  return signerOf(name, der.subarray(der.length - 32), type)
}

export function signerOf(name: string, seed: Buffer, type = ED25519): Signer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return { verifier: verifierOf(name, spki.subarray(spki.length - 32), type), seed, key }
}

/** Throws on what is not a public key of this kind. */
export function parseVerifier(text: string): Verifier {
  const match = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text.trim())
  const typed = Buffer.from(match?.[3] ?? '', 'base64')
  const type = typed[0]
  if (!match || typed.length !== 33 || (type !== ED25519 && type !== COSIGNATURE)) {
    throw new Error(`"${text.slice(0, 100)}" is not a public key in the form name+id+key`)
  }
  const verifier = verifierOf(match[1] as string, typed.subarray(1), type)
  if (verifier.text !== text.trim()) throw new Error(`the id in the public key "${text.slice(0, 100)}" is wrong`)
  return verifier
}

export interface Checkpoint {
  readonly origin: string
  readonly size: number
  readonly root: Buffer
  /** Lines after the root: `next-key <public key>` is all that we write. */
  readonly extensions: readonly string[]
}

const NEXT_KEY = 'next-key '
/** The key that follows, if this is the last checkpoint of its key. */
export const nextKeyOf = ({ extensions }: Checkpoint): string | undefined =>
  extensions.find((line) => line.startsWith(NEXT_KEY))?.slice(NEXT_KEY.length)

export function checkpointText(origin: string, size: number, root: Uint8Array, nextKey?: string): string {
  return `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n${nextKey === undefined ? '' : `${NEXT_KEY}${nextKey}\n`}`
}

export function signatureLine({ name, id }: Verifier, signature: Uint8Array): string {
  return `\u2014 ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`
}

/** A signed note: the text, an empty line, and a line for each signature. */
export function signNote(text: string, signer: Signer): string {
  return `${text}\n${signatureLine(signer.verifier, sign(null, Buffer.from(text), signer.key))}`
}

export interface Note {
  readonly text: string
  readonly signatures: readonly { readonly name: string; readonly id: Buffer; readonly signature: Buffer }[]
}

/** Throws on what is not a signed note. Says nothing about its signatures. */
export function parseNote(note: string): Note {
  const border = note.lastIndexOf('\n\n')
  if (border < 0 || !note.endsWith('\n')) throw new Error('this is not a signed note')
  const lines = note.slice(border + 2, -1).split('\n')
  const signatures = lines.map((line) => {
    const match = /^\u2014 (\S+) ([A-Za-z0-9+/]+=*)$/.exec(line)
    const bytes = Buffer.from(match?.[2] ?? '', 'base64')
    if (!match || bytes.length < 5) throw new Error('a line of signature in this note cannot be read')
    return { name: match[1] as string, id: bytes.subarray(0, 4), signature: bytes.subarray(4) }
  })
  return { text: note.slice(0, border + 1), signatures }
}

/** Whether this key signed it. */
export function signedBy(note: Note, by: Verifier): boolean {
  return note.signatures.some(
    ({ name, id, signature }) =>
      name === by.name && id.equals(by.id) && verify(null, Buffer.from(note.text), by.key, signature),
  )
}

/** Throws on what is not a checkpoint. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, root, ...rest] = text.split('\n')
  const bytes = Buffer.from(root ?? '', 'base64')
  if (!origin || !/^(0|[1-9]\d{0,15})$/.test(size ?? '') || bytes.length !== 32 || bytes.toString('base64') !== root) {
    throw new Error('this is not a checkpoint')
  }
  if (rest.pop() !== '' || rest.includes('')) throw new Error('this is not a checkpoint')
  return { origin, size: Number(size), root: bytes, extensions: rest }
}
