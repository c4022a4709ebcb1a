/**
 * The keys that sign checkpoints, one a day. The last checkpoint of a key names the next and is thereby its certificate;
 * then the old private half is erased, so that a key that is stolen today cannot rewrite yesterday (T33). Private keys
 * stand in memory and in the key file, never in a database.
 */
import type { KeyFile } from '../../core/program.ts'
import { newSigner, type Signer, signerOf } from './note.ts'

export interface KeyFileText {
  readonly origin: string
  readonly seed: string
  /** The key after this one, while it is being changed. */
  readonly next?: string
  /** The newest checkpoint when this was written: the nearest of all anchors. */
  readonly checkpoint?: string
}
/** What a log says it continues, when an administrator began it anew; written before the log is there. */
export interface Former {
  readonly former: {
    readonly origin: string
    readonly checkpoint?: string
    readonly reason: string
    readonly at: string
  }
}

export const DAY_MS = 86_400_000

export class Epochs {
  readonly #file: KeyFile
  #text: KeyFileText
  #signer: Signer

  constructor(file: KeyFile, text: KeyFileText) {
    this.#file = file
    this.#text = text
    this.#signer = signerOf(text.origin, Buffer.from(text.seed, 'base64'))
  }

  static begin(file: KeyFile, origin: string): Epochs {
    const { seed } = newSigner(origin)
    const text = { origin, seed: seed.toString('base64') }
    file.replace(JSON.stringify(text))
    return new Epochs(file, text)
  }

  get signer(): Signer {
    return this.#signer
  }

  get checkpoint(): string | undefined {
    return this.#text.checkpoint
  }

  /** Written down before the old key names it; `adopt` makes it the only one. */
  prepare(): Signer {
    const next = newSigner(this.#text.origin)
    this.#write({ ...this.#text, next: next.seed.toString('base64') })
    return next
  }

  /** After the old key's last checkpoint is on the disk: the old private half is gone. */
  adopt(next: Signer): void {
    const { next: _, ...text } = this.#text
    this.#write({ ...text, seed: next.seed.toString('base64') })
    this.#signer = next
  }

  /** At start: an end in the middle of a change is finished if the old key had named the new one, else forgotten. */
  settle(current: string): boolean {
    const { next } = this.#text
    if (next !== undefined) {
      const prepared = signerOf(this.#text.origin, Buffer.from(next, 'base64'))
      if (prepared.verifier.text === current) this.adopt(prepared)
      else {
        const { next: _, ...text } = this.#text
        this.#write(text)
      }
    }
    return this.#signer.verifier.text === current
  }

  remember(checkpoint: string): void {
    this.#write({ ...this.#text, checkpoint })
  }

  #write(text: KeyFileText): void {
    this.#file.replace(JSON.stringify(text))
    this.#text = text
  }
}

export function readKeyFile(file: KeyFile): Partial<KeyFileText> & Partial<Former> {
  const text = file.read()
  if (text === undefined) return {}
  try {
    return JSON.parse(text) as Partial<KeyFileText>
  } catch {
    throw new Error('the key file of the audit trail cannot be read')
  }
}
