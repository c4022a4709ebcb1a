/** The objects that a request names in its body, by the fields in which its dialect names them. */
import type { JsonObject, JsonValue } from './request.ts'

/** What may be an id; texts that cannot be one are no business of ours. */
const ID = /^[\w.:/-]{3,300}$/

/**
 * Undefined where there is none, which a search of the bytes tells for nearly all. Names may be written with escapes, so a
 * body with any escaped letter is looked through.
 */
export function namedIn(body: Buffer, json: JsonObject, fields: readonly string[]): readonly string[] | undefined {
  if (!body.includes('\\u') && !fields.some((name) => body.includes(`"${name}"`))) return undefined
  const ids = new Set<string>()
  collect(json, new Set(fields), ids)
  return ids.size > 0 ? [...ids] : undefined
}

function collect(value: JsonValue | undefined, fields: ReadonlySet<string>, ids: Set<string>): void {
  if (value === null || typeof value !== 'object') return
  if (Array.isArray(value)) {
    for (const item of value as readonly JsonValue[]) collect(item, fields, ids)
    return
  }
  for (const [name, field] of Object.entries(value)) {
    if (fields.has(name)) add(field, ids)
    collect(field, fields, ids)
  }
}

/** `"id"`, `["id", …]` or `{"id": "…"}`. */
function add(value: JsonValue | undefined, ids: Set<string>): void {
  if (typeof value === 'string') {
    if (ID.test(value)) ids.add(value)
  } else if (Array.isArray(value)) for (const item of value as readonly JsonValue[]) add(item, ids)
  else if (value !== null && typeof value === 'object') add((value as JsonObject).id, ids)
}
