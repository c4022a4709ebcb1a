/** Core's rows as records: changes of configuration and directory, and money. */
import type { CoreRow, CoreSource } from '../../core/program.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { canonical, quoted } from './canonical.ts'
import { Cut, clipped, type Draft, fit, type Sealed, seal } from './record.ts'

/** `before` and `after` are no longer than this; what they were stands in core's own row. */
const MOST_VALUE = 256 * 1024

/** For rows that have the columns of this one. They are made one by one: texts that wait together are expensive garbage. */
export const sealerOf = (source: CoreSource, like: CoreRow): ((row: CoreRow) => Sealed) =>
  source === 'ledger' ? moneySealer(like) : (row) => seal(changeDraft(source, row))

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

type Writer = (row: CoreRow) => string | undefined

/** Facts that are not the column as it stands. */
const SPECIAL: Readonly<Record<string, Writer>> = {
  at: ({ at }) => `"${iso(at)}"`,
  calls: ({ calls }) => (typeof calls === 'string' ? canonical(parsed(calls)) : undefined),
  entry: ({ kind }) => quoted(String(kind)),
  kind: () => '"ledger"',
  row: ({ row }) => `"${row}"`,
  tags: ({ tags }) => (typeof tags === 'string' ? canonical(fit(parsed(tags))) : undefined),
  writtenAt: ({ writtenAt }) => (typeof writtenAt === 'number' ? `"${iso(writtenAt)}"` : undefined),
}

const iso = (at: unknown): string => new Date(at as number).toISOString()

function plain(name: string): Writer {
  return (row) => {
    const value = row[name]
    if (typeof value === 'string') return quoted(clipped(value))
    return typeof value === 'number' ? JSON.stringify(value) : undefined
  }
}

/**
 * Two of three records are rows of the ledger, so their text is written in one go, column by column in the order of canonical
 * JSON. Every column is a fact, whatever the ledger grows; absent ones are left out.
 */
function moneySealer(like: CoreRow): (row: CoreRow) => Sealed {
  const names = new Set([...Object.keys(like), 'entry', 'seq'])
  const columns = [...names].sort().map((name) => ({
    number: name === 'seq',
    name: `${quoted(name)}:`,
    write: SPECIAL[name] ?? plain(name),
  }))
  return (row) => {
    const text = new Cut()
    for (const { number, name, write } of columns) {
      if (number) text.number()
      else {
        const value = write(row)
        if (value !== undefined) text.add(name + value)
      }
    }
    const { organization, exchange } = row
    return {
      at: row.at as number,
      kind: 'ledger',
      ...(typeof organization === 'string' ? { organization: clipped(organization) } : {}),
      ...(typeof exchange === 'string' ? { exchange: clipped(exchange) } : {}),
      ...text.end(),
    }
  }
}
