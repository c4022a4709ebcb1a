/**
 * Administrators' calls as records. Refused ones can be made by anybody who reaches the port, so they are bounded: of those
 * above it the record says how many there were.
 */
import type { Act } from '../../core/acting.ts'
import type { JsonObject } from '../../core/request.ts'
import { clipped, type Draft } from './record.ts'

const REFUSED_PER_MINUTE = 60
const MINUTE_MS = 60_000

export class Acts {
  readonly #note: (draft: Draft) => void
  #since = 0
  #refused = 0

  constructor(note: (draft: Draft) => void) {
    this.#note = note
  }

  readonly hear = (act: Act): void => {
    const refused = act.status === 401 || act.status === 403 || act.status === 429
    if (refused && !this.#admits(act.at)) return
    const { at, ...facts } = act
    this.#note(administration(at, facts))
  }

  #admits(at: number): boolean {
    if (at - this.#since >= MINUTE_MS) {
      this.#tellRest(at)
      this.#since = at
    }
    return ++this.#refused <= REFUSED_PER_MINUTE
  }

  #tellRest(at: number): void {
    const more = this.#refused - REFUSED_PER_MINUTE
    this.#refused = 0
    if (more > 0) this.#note(administration(at, { actor: 'nobody', action: 'refused', more }))
  }
}

function administration(at: number, facts: Readonly<Record<string, string | number | undefined>>): Draft {
  const fit: Record<string, string | number> = {}
  for (const [name, value] of Object.entries(facts)) {
    if (value !== undefined) fit[name] = typeof value === 'string' ? clipped(value, 500) : value
  }
  return { at, kind: 'administration', facts: fit as JsonObject }
}
