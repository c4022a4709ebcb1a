/**
 * What a record is: one flat object of facts, whatever a client sent cut to size and made well-formed, as canonical text. Money and 64-bit numbers are text, times are ISO milliseconds in UTC, what is absent is left out.
 */
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { canonical, quoted } from './canonical.ts'

/** A record before it has its number. */
export interface Draft {
  readonly at: number
  readonly kind: string
  readonly organization?: string
  readonly exchange?: string
  readonly facts: JsonObject
}

/** A text from outside is no longer than this in a record. */
export const MOST_TEXT = 2_000

/** As it may stand in a record: without lone surrogates, and cut where it is too long. */
export function clipped(text: string, most = MOST_TEXT): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  return whole.length <= most ? whole : `${whole.slice(0, most).toWellFormed()}… (${whole.length} characters)`
}

/** Every text in it made fit, absent and undefined values left out. */
export function fit(value: JsonValue, most = MOST_TEXT): JsonValue {
  if (typeof value === 'string') return clipped(value, most)
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map((each) => fit(each, most))
  const out: Record<string, JsonValue> = {}
  for (const [key, each] of Object.entries(value)) if (each !== undefined) out[clipped(key, most)] = fit(each, most)
  return out
}

/** A record that is whole but for its number: canonical text before and after it, and what it is found by. */
export interface Sealed {
  readonly at: number
  readonly kind: string
  readonly organization?: string
  readonly exchange?: string
  readonly head: string
  readonly tail: string
}

export const textOf = (seq: number, { head, tail }: Sealed): string => `${head}${seq}${tail}`

export function seal({ at, kind, organization, exchange, facts }: Draft): Sealed {
  const record: Record<string, JsonValue> = { ...facts, at: new Date(at).toISOString(), kind, seq: '' }
  const place: { organization?: string; exchange?: string } = {}
  if (organization !== undefined) record.organization = place.organization = organization
  if (exchange !== undefined) record.exchange = place.exchange = exchange
  const text = new Cut()
  for (const name of Object.keys(record).sort()) {
    if (name === 'seq') text.number()
    else text.add(`${quoted(name)}:${canonical(record[name] as JsonValue)}`)
  }
  return { at, kind, ...place, ...text.end() }
}

/** Members of an object one after the other, cut where its number will stand. */
export class Cut {
  #head = ''
  #members: string[] = []
  add(member: string): void {
    this.#members.push(member)
  }
  number(): void {
    this.#members.push('"seq":"')
    this.#head = `{${this.#members.join(',')}`
    this.#members = ['"']
  }
  end(): { readonly head: string; readonly tail: string } {
    return { head: this.#head, tail: `${this.#members.join(',')}}` }
  }
}
