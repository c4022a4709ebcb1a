/**
 * Puts the originals back where a reply names their placeholders, in a text that comes in pieces. Only complete placeholders
 * that this exchange itself made are replaced; a placeholder that is still being written is held back.
 */

/** Placeholder → original. Lives with its exchange, in memory alone. */
export type Originals = ReadonlyMap<string, string>

/** `[EMAIL_k3f9q2ab]`; models also write it in small letters, or escape the underscores for Markdown. */
const TOKEN = /\[([A-Za-z][A-Za-z0-9_\\]{3,69})\]/g
const BEGUN = /\[(?:[A-Za-z][A-Za-z0-9_\\]{0,69})?$/
const LONGEST = 72

function originalOf(token: string, inner: string, originals: Originals): string | undefined {
  const exact = originals.get(token)
  if (exact !== undefined) return exact
  const plain = inner.replaceAll('\\', '')
  const cut = plain.lastIndexOf('_')
  return cut < 0 ? undefined : originals.get(`[${plain.slice(0, cut).toUpperCase()}${plain.slice(cut).toLowerCase()}]`)
}

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
  return text.replace(TOKEN, (token, inner: string) => {
    const original = originalOf(token, inner, originals)
    if (original === undefined) return token
    return json ? JSON.stringify(original).slice(1, -1) : original
  })
}
