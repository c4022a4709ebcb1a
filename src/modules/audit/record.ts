/**
 * What a record says: facts of core's rows and of exchanges as one flat object, whatever a client sent cut to size and made
 * well-formed. Money and 64-bit numbers are text, times are ISO milliseconds in UTC, what is absent is left out.
 */
import type { CoreRow, CoreSource } from '../../core/program.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'

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
/** `before` and `after` are no longer than this; what they were stands in core's own row. */
const MOST_VALUE = 256 * 1024

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

/** A row of core's as a record. */
export function draftOf(source: CoreSource, row: CoreRow): Draft {
  return source === 'ledger' ? ledgerDraft(row) : changeDraft(source, row)
}

function ledgerDraft({ row, at, kind, calls, tags, writtenAt, organization, exchange, ...rest }: CoreRow): Draft {
  const facts: Record<string, JsonValue> = { row: String(row), entry: kind as string }
  for (const [name, value] of Object.entries(rest)) {
    if (value !== null && value !== undefined) facts[name] = typeof value === 'string' ? clipped(value) : value
  }
  if (typeof calls === 'string') facts.calls = parsed(calls)
  if (typeof tags === 'string') facts.tags = fit(parsed(tags))
  if (typeof writtenAt === 'number') facts.writtenAt = new Date(writtenAt).toISOString()
  return {
    at: at as number,
    kind: 'ledger',
    ...(typeof organization === 'string' ? { organization: clipped(organization) } : {}),
    ...(typeof exchange === 'string' ? { exchange: clipped(exchange) } : {}),
    facts,
  }
}

function changeDraft(source: 'revisions' | 'directory', row: CoreRow): Draft {
  const before = shownOf(row.before)
  const after = shownOf(row.after)
  const organization =
    source === 'directory' ? (organizationOf(row.object, after) ?? organizationOf(row.object, before)) : undefined
  const context = typeof row.context === 'string' ? (fit(parsed(row.context)) as JsonObject) : {}
  return {
    at: row.at as number,
    kind: source === 'revisions' ? 'configuration' : 'directory',
    ...(organization === undefined ? {} : { organization }),
    facts: {
      ...context,
      row: String(row.row),
      ...(source === 'revisions' ? { revision: row.row } : { object: clipped(String(row.object)) }),
      actor: clipped(String(row.actor)),
      action: clipped(String(row.action)),
      ...(before === undefined ? {} : { before }),
      ...(after === undefined ? {} : { after }),
    },
  }
}

function shownOf(text: unknown): JsonValue | undefined {
  if (typeof text !== 'string') return undefined
  if (text.length > MOST_VALUE) return { omitted: `${text.length} characters; they stand in the row` }
  return fit(parsed(text), MOST_VALUE)
}

/** Changes of an organization's own objects belong to its tree. */
function organizationOf(object: unknown, value: JsonValue | undefined): string | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined
  const { organization, id, scope } = value as { organization?: JsonValue; id?: JsonValue; scope?: JsonValue }
  if (typeof organization === 'string') return organization
  if (typeof object === 'string' && object.startsWith('organization/') && typeof id === 'string') return id
  const within = (scope as { organization?: JsonValue } | undefined)?.organization
  return typeof within === 'string' ? within : undefined
}

function parsed(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue
  } catch {
    return text
  }
}

/** The whole record, ready to be written down. */
export function recordOf(seq: number, { at, kind, organization, exchange, facts }: Draft): JsonObject {
  return {
    ...facts,
    seq: String(seq),
    at: new Date(at).toISOString(),
    kind,
    ...(organization === undefined ? {} : { organization }),
    ...(exchange === undefined ? {} : { exchange }),
  }
}
