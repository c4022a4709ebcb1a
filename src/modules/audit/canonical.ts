/**
 * Canonical JSON (RFC 8785): one text for one value, so that whoever holds a record can compute its hash. Keys in the
 * order of their UTF-16 code units, numbers and strings as ECMAScript writes them, no space anywhere.
 */
import type { JsonValue } from '../../core/request.ts'

/** Throws on what JSON cannot say: NaN, infinities, lone surrogates, undefined, big integers. */
export function canonical(value: JsonValue): string {
  switch (typeof value) {
    case 'string':
      return quoted(value)
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`${value} has no canonical form`)
      return JSON.stringify(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      if (value === null) return 'null'
      if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
      return object(value as Readonly<Record<string, JsonValue>>)
  }
  throw new TypeError(`a ${typeof value} has no canonical form`)
}

function object(value: Readonly<Record<string, JsonValue>>): string {
  let text = ''
  for (const key of Object.keys(value).sort()) {
    text += `${text === '' ? '' : ','}${quoted(key)}:${canonical(value[key] as JsonValue)}`
  }
  return `{${text}}`
}

/** Most texts need no escapes at all. */
const PLAIN = /^[ !#-[\]-~]*$/

export function quoted(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  if (!text.isWellFormed()) throw new TypeError('a lone surrogate has no canonical form')
  return JSON.stringify(text)
}
