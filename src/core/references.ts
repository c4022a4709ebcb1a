/** The objects that a request names in its body, by the fields in which its dialect names them. */
import type { JsonObject, JsonValue } from './request.ts'

export interface References {
  /** All of what these hold must be the caller's; `thread.id` is a field `id` within a field `thread`. */
  readonly fields: readonly string[]
  /** Fields with data of the caller's own or of former answers, in which the same words name nothing. */
  readonly outside?: readonly string[]
  /** Ids that stand elsewhere than in a field of their own. */
  further?(json: JsonObject): readonly string[]
  /** Ids that clients bring back from answers, whoever gave them: those that are known must be the caller's. */
  perhaps?(json: JsonObject): readonly string[]
}

/** What may be an id; texts that cannot be one are no business of ours. */
const ID = /^[\w.:/-]{3,300}$/

/**
 * Undefined where there is none, which a search of the bytes tells for nearly all. Names may be written with escapes, so a
 * body with any escaped letter is looked through.
 */
export function namedIn(body: Buffer, json: JsonObject, references: References): readonly string[] | undefined {
  const { fields, outside = [], further } = references
  const ids = new Set(further?.(json))
  if (body.includes('\\u') || fields.some((name) => body.includes(`"${name.slice(name.lastIndexOf('.') + 1)}"`))) {
    collect(json, '', { fields: new Set(fields), outside: new Set(outside) }, ids)
  }
  return ids.size > 0 ? [...ids] : undefined
}

interface Looked {
  readonly fields: ReadonlySet<string>
  readonly outside: ReadonlySet<string>
}

function collect(value: JsonValue | undefined, within: string, looked: Looked, ids: Set<string>): void {
  if (value === null || typeof value !== 'object') return
  if (Array.isArray(value)) {
    for (const item of value as readonly JsonValue[]) collect(item, within, looked, ids)
    return
  }
  for (const [name, field] of Object.entries(value)) {
    if (looked.outside.has(name)) continue
    if (looked.fields.has(name) || looked.fields.has(`${within}.${name}`)) add(field, ids)
    collect(field, name, looked, ids)
  }
}

/** `"id"`, `["id", …]` or `{"id": "…"}`. */
function add(value: JsonValue | undefined, ids: Set<string>): void {
  if (typeof value === 'string') {
    if (ID.test(value)) ids.add(value)
  } else if (Array.isArray(value)) for (const item of value as readonly JsonValue[]) add(item, ids)
  else if (value !== null && typeof value === 'object') add((value as JsonObject).id, ids)
}
