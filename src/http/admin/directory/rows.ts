/** What all routes of the directory share: how a row is shown, changed and dry-run, and whose it is. */
import type { Draft, Edit, FigureKind, Row, RowKind, Rows, Selector } from '../../../core/directory.ts'
import { badRequest, failure } from '../../../core/errors.ts'
import type { Principal } from '../../../core/exchange.ts'
import { letters } from '../../../core/keys.ts'
import type { JsonObject } from '../../../core/request.ts'
import type { AdminContext, CoreCall } from '../route.ts'

const TIMES = ['createdAt', 'updatedAt', 'expiresAt', 'overlapUntil', 'from'] as const

/** Times as text. */
export function shown(row: Row): JsonObject {
  const out: Record<string, unknown> = { ...row }
  for (const name of TIMES) if (typeof out[name] === 'number') out[name] = new Date(out[name]).toISOString()
  if (Array.isArray(out.raises)) {
    out.raises = out.raises.map((raise) => ({ ...raise, until: new Date(raise.until).toISOString() }))
  }
  return out as JsonObject
}

/** An instant that is in the calendar: the 30th of February is not. */
export function timeOf(text: string, name: string): number {
  try {
    return Temporal.Instant.from(text).epochMilliseconds
  } catch {
    throw badRequest(`${name}: "${text}" is no time; write one as 2027-01-31T12:00:00Z.`, name)
  }
}

/** Without what the store adds. */
export function draftOf<K extends RowKind>(row: Rows[K]): Draft<K> {
  const { version: _, createdAt: __, updatedAt: ___, ...draft } = row as Row & JsonObject
  return draft as unknown as Draft<K>
}

/** The fields of a change put over those of a row; null takes one away. */
export function merged<K extends RowKind>(row: Rows[K], change: Readonly<Record<string, unknown>>): Draft<K> {
  const next = { ...draftOf<K>(row), ...change } as Record<string, unknown>
  for (const [name, value] of Object.entries(next)) if (value === null) delete next[name]
  return next as unknown as Draft<K>
}

class DryRun {
  readonly result: unknown
  constructor(result: unknown) {
    this.result = result
  }
}

/** Makes the change in one transaction; in a dry run takes it back, and answers what it would have been. */
export function change<T>(context: AdminContext, call: CoreCall, action: string, work: (edit: Edit) => T): T {
  const { directory } = context.gateway.store
  try {
    return directory.change({ actor: call.actor, action }, (edit) => {
      const result = work(edit)
      if (call.dry) throw new DryRun(result)
      return result
    })
  } catch (error) {
    if (error instanceof DryRun) return error.result as T
    throw error
  }
}

/** The row, or a 404: also for what the caller may not see, so that nobody learns what there is elsewhere. */
export function found<K extends RowKind>(
  context: AdminContext,
  kind: K,
  id: string | undefined,
  visible: (row: Rows[K]) => boolean,
): Rows[K] {
  const row = context.gateway.store.directory.get(kind, id ?? '')
  if (!row || !visible(row)) throw failure('not_found', { what: `${kind} "${(id ?? '').slice(0, 100)}"` })
  return row
}

export function forbidden(problem: string): never {
  throw failure('permission_denied', { problem })
}

/** As asked, or made of the name, or of chance. */
export function newId(asked: string | undefined, name: string | undefined): string {
  if (asked !== undefined) return asked
  const made = name
    ?.toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40)
  return made || letters(10).toLowerCase()
}

export interface Paged {
  readonly after?: string
  readonly limit: number
}
export function pageOf(query: Readonly<Record<string, unknown>>): Paged {
  const limit = Math.min(1_000, Math.max(1, Number(query.limit ?? 100)))
  return typeof query.after === 'string' ? { after: query.after, limit } : { limit }
}
/** The rows of a page, and where the next one begins. */
export function paged<K extends RowKind>(name: string, rows: readonly Rows[K][], { limit }: Paged): JsonObject {
  const last = rows.at(-1)
  return { [name]: rows.map(shown), next: rows.length === limit && last ? last.id : null }
}

/**
 * The rows on places that the caller may see, of one place if it is named. The next page begins behind what was looked
 * through, however little of it may be seen.
 */
export function placed(
  context: AdminContext,
  kind: FigureKind,
  name: string,
  query: CoreCall['query'],
  sees: (scope: Selector) => boolean,
): JsonObject {
  const page = pageOf(query)
  const at = query.at as string | undefined
  const rows = context.gateway.store.directory.list(kind, { ...(at === undefined ? {} : { anchor: at }), ...page })
  const seen = rows.filter(({ scope }) => sees(scope))
  return { [name]: seen.map(shown), next: rows.length === page.limit ? (rows.at(-1)?.id ?? null) : null }
}

/** Ends what these callers have running, if that was asked for. */
export function cutIf(
  context: AdminContext,
  call: CoreCall,
  of: (principal: Principal) => boolean,
): { readonly ended?: number } {
  const asked = (call.body as { cut?: boolean } | undefined)?.cut ?? call.query.cut
  if (call.dry || !(asked === true || asked === '1' || asked === 'true')) return {}
  return { ended: context.cut(of) }
}
