/**
 * Puts the originals back where a reply names their placeholders, in a text that comes in pieces. Only complete placeholders
 * that this exchange itself made are replaced; a placeholder that is still being written is held back.
 */

/** Placeholder → original. Lives with its exchange, in memory alone. */
export type Originals = ReadonlyMap<string, string>

/** `[EMAIL_k3f9q2ab]`. */
const TOKEN = /\[[A-Z][A-Z0-9_]{0,39}_[a-z0-9]{8,16}\]/g
const BEGUN = /\[(?:[A-Z][A-Z0-9_]{0,39}(?:_[a-z0-9]{0,16})?)?$/
const LONGEST = 60

export class Restoring {
  readonly #originals: Originals
  readonly #json: boolean
  #held = ''

  constructor(originals: Originals, json: boolean) {
    this.#originals = originals
    this.#json = json
  }

  push(piece: string): string {
    const text = this.#held + piece
    this.#held = ''
    const last = text.lastIndexOf('[')
    if (last < 0) return text
    if (text.length - last <= LONGEST && BEGUN.test(text.slice(last))) {
      this.#held = text.slice(last)
      return restore(text.slice(0, last), this.#originals, this.#json)
    }
    return restore(text, this.#originals, this.#json)
  }

  end(): string {
    const rest = this.#held
    this.#held = ''
    return rest
  }
}

/** In a JSON text an original stands inside a string, so it must be escaped. */
export function restore(text: string, originals: Originals, json: boolean): string {
  if (originals.size === 0 || !text.includes('[')) return text
  return text.replace(TOKEN, (token) => {
    const original = originals.get(token)
    if (original === undefined) return token
    return json ? JSON.stringify(original).slice(1, -1) : original
  })
}
