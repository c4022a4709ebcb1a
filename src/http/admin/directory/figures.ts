/**
 * Limits and budgets as rows. A figure about a place is set from above it: a team's by whoever manages the organization, a
 * key's by whoever manages its team. So nobody raises their own.
 */
import { type TObject, Type } from 'typebox'
import type { Budget, Draft, Limit, Rows, Selector } from '../../../core/directory.ts'
import { badRequest, failure } from '../../../core/errors.ts'
import { letters } from '../../../core/keys.ts'
import { type Actor, may, type Place } from '../../../core/roles.ts'
import { parseStrict } from '../../../core/settings.ts'
import { problemOf } from '../../../core/windows.ts'
import type { AdminContext, CoreCall, CoreRoute } from '../route.ts'
import { expected } from './organizations.ts'
import { change, forbidden, found, merged, placed, shown, timeOf } from './rows.ts'
import {
  BudgetChange,
  BudgetDraft,
  BudgetRow,
  closed,
  LimitChange,
  LimitDraft,
  LimitRow,
  Page,
  Removed,
} from './schemas.ts'

type Kind = 'limit' | 'budget'

/** Where one must manage to set a figure, and where one must be able to read to see it. */
function placesOf(context: AdminContext, scope: Selector): { readonly above: Place; readonly at: Place } {
  const { directory } = context.gateway.store
  const known = <K extends 'organization' | 'team' | 'user' | 'key'>(kind: K): Rows[K] | undefined => {
    const id = scope[kind]
    if (id === undefined || id === '*') return undefined
    const row = directory.get(kind, id)
    if (!row) throw failure('not_found', { what: `${kind} "${id}"` })
    return row
  }
  const organization = known('organization')?.id
  const team = known('team')
  known('user')
  const key = known('key')
  if (key) return { above: key, at: key }
  if (team) {
    const at = { organization: team.organization, team: team.id }
    return { above: scope.user === undefined ? { organization: team.organization } : at, at }
  }
  if (organization !== undefined)
    return { above: scope.user === undefined ? {} : { organization }, at: { organization } }
  return { above: {}, at: {} }
}

const isOwn = (context: AdminContext, who: Actor, { user, key }: Selector): boolean =>
  who.user !== undefined &&
  (user === who.user || (key !== undefined && context.gateway.store.directory.get('key', key)?.user === who.user))

function sees(context: AdminContext, who: Actor, scope: Selector): boolean {
  try {
    return isOwn(context, who, scope) || may(who, 'read', placesOf(context, scope).at)
  } catch {
    // What it is about is gone, so only those who see everything see it.
    return may(who, 'read', {})
  }
}

function checkScope(context: AdminContext, who: Actor, scope: Selector): void {
  const { above, at } = placesOf(context, scope)
  if (may(who, 'manage', above)) return
  if (!may(who, 'read', at)) throw failure('not_found', { what: 'such place' })
  forbidden('A limit or budget is set by whoever manages the place above it.')
}

function timesOf(fields: Record<string, unknown>): Record<string, unknown> {
  const { raises } = fields as { raises?: { amountUsd: string; until: string }[] | null }
  if (!raises) return fields
  const read = raises.map(({ amountUsd, until }) => ({ amountUsd, until: timeOf(until, 'raises') }))
  return { ...fields, raises: read }
}

function checkLimit({ counts, per, count }: Pick<Limit, 'counts' | 'per' | 'count'>): void {
  if (count !== undefined && !counts.endsWith('tokens'))
    throw badRequest('"count" says which tokens count, and this limit counts none.', 'count')
  if ((counts === 'parallel') === (per === undefined)) return
  throw badRequest(counts === 'parallel' ? '"parallel" has no "per".' : '"per" must be minute, hour or day.', 'per')
}
function checkBudget({ window }: Pick<Budget, 'window'>): void {
  const problem = problemOf(window)
  if (problem !== undefined) throw badRequest(`window: ${problem}.`, 'window')
}

interface Shapes {
  readonly draft: TObject
  readonly change: TObject
  readonly row: TObject
  readonly example: object
  readonly exampleChange: object
  check(draft: never): void
}

function routesOf(
  kind: Kind,
  { draft: Draft, change: Change, row: Row, example, exampleChange, check }: Shapes,
): CoreRoute[] {
  const path = `${kind}s`
  const visible = (context: AdminContext, call: CoreCall) =>
    found(context, kind, call.params.id, (one) => sees(context, call.who, one.scope))
  return [
    {
      method: 'GET',
      path,
      needs: 'signed-in',
      summary: `The ${path} that you may see; of one place, if it is named as \`at=team:ml\`.`,
      query: Type.Object({ at: Type.Optional(Type.String()), ...Page }, closed),
      answer: Type.Object({ [path]: Type.Array(Row), next: Type.Union([Type.String(), Type.Null()]) }, closed),
      example: { [path]: [example], next: null },
      handle: (context, { who, query }) => placed(context, kind, path, query, (scope) => sees(context, who, scope)),
    },
    {
      method: 'POST',
      path,
      needs: 'signed-in',
      row: true,
      summary: `Sets a ${kind}; it acts on the next request.`,
      body: Draft,
      answer: Row,
      example,
      handle(context, call) {
        const asked = timesOf(parseStrict(Draft, call.body) as Record<string, unknown>)
        const row = { ...asked, id: (asked.id as string | undefined) ?? letters(10) } as unknown as Draft<Kind>
        check(row as never)
        checkScope(context, call.who, row.scope)
        return shown(change(context, call, `${kind}.create`, (edit) => edit.insert(kind, row)))
      },
    },
    {
      method: 'GET',
      path: `${path}/:id`,
      needs: 'signed-in',
      row: true,
      summary: `One ${kind}.`,
      answer: Row,
      example,
      handle: (context, call) => shown(visible(context, call)),
    },
    {
      method: 'PUT',
      path: `${path}/:id`,
      needs: 'signed-in',
      row: true,
      summary: `Changes a ${kind}; what it is about stays.`,
      body: Change,
      answer: Row,
      example: exampleChange,
      handle(context, call) {
        const row = visible(context, call)
        checkScope(context, call.who, row.scope)
        const next = merged<Kind>(row, timesOf(parseStrict(Change, call.body) as Record<string, unknown>))
        check(next as never)
        return shown(
          change(context, call, `${kind}.update`, (edit) => edit.update(kind, next, expected(call.expected))),
        )
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:id`,
      needs: 'signed-in',
      summary: `Removes a ${kind}.`,
      answer: Removed,
      example: {},
      handle(context, call) {
        const row = visible(context, call)
        checkScope(context, call.who, row.scope)
        change(context, call, `${kind}.delete`, (edit) => edit.remove(kind, row.id))
        return { removed: !call.dry }
      },
    },
  ]
}

export const figureRoutes: readonly CoreRoute[] = [
  ...routesOf('limit', {
    draft: LimitDraft,
    change: LimitChange,
    row: LimitRow,
    example: { id: 'ml-requests', scope: { team: 'ml' }, counts: 'requests', per: 'minute', amount: 600 },
    exampleChange: { amount: 1_200 },
    check: checkLimit,
  }),
  ...routesOf('budget', {
    draft: BudgetDraft,
    change: BudgetChange,
    row: BudgetRow,
    example: {
      id: 'ml-month',
      scope: { team: 'ml' },
      amountUsd: '500',
      window: { kind: 'calendar', unit: 'month', timeZone: 'Europe/Berlin' },
    },
    exampleChange: { amountUsd: '750' },
    check: checkBudget,
  }),
]
