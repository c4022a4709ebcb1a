/**
 * What organizations and teams are charged (terms), and what they paid in advance (grants). Both are money: rows are added
 * by whoever manages the instance, and never changed or removed. Correcting one is another row.
 */
import { Type } from 'typebox'
import { anchorOf, type Draft, type Selector, type Terms } from '../../../core/directory.ts'
import { badRequest, failure } from '../../../core/errors.ts'
import { letters } from '../../../core/keys.ts'
import { parseDollars } from '../../../core/money.ts'
import { compilePrice } from '../../../core/prices.ts'
import { type Actor, INSTANCE, may, type Place } from '../../../core/roles.ts'
import { parseStrict } from '../../../core/settings.ts'
import { BUCKETS } from '../../../core/usage.ts'
import type { AdminContext, CoreCall, CoreRoute } from '../route.ts'
import { change, forbidden, found, placed, shown } from './rows.ts'
import { closed, GrantDraft, GrantRow, Page, TermsDraft, TermsRow } from './schemas.ts'

type Kind = 'grant' | 'terms'

/** The organization or team, which must be there; one is enough, and anything else would be somebody else's. */
function billed(context: AdminContext, { organization, team }: Selector): Selector {
  const { directory } = context.gateway.store
  if ((organization === undefined) === (team === undefined) || organization === '*' || team === '*')
    throw badRequest('"scope" names one organization or one team.', 'scope')
  const [kind, id] = team === undefined ? (['organization', organization] as const) : (['team', team] as const)
  if (!directory.get(kind, id as string)) throw failure('not_found', { what: `${kind} "${id}"` })
  return { [kind]: id }
}

/** Where one must be able to read to see it. */
function placeOf(context: AdminContext, { organization, team }: Selector): Place {
  if (team === undefined) return { organization }
  return { organization: context.gateway.store.directory.get('team', team)?.organization, team }
}
const sees = (context: AdminContext, who: Actor, scope: Selector): boolean =>
  may(who, 'usage', placeOf(context, scope)) || may(who, 'usage', INSTANCE)

function mustManage(who: Actor): void {
  if (!may(who, 'manage', INSTANCE))
    forbidden('What is charged and what was paid is set by whoever manages the instance.')
}

function moment(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined
  const at = Date.parse(String(value))
  if (Number.isNaN(at)) throw badRequest(`"${name}" is not a time`, name)
  return at
}

function grantOf(context: AdminContext, asked: Record<string, unknown>): Draft<'grant'> {
  const expiresAt = moment(asked.expiresAt, 'expiresAt')
  if (expiresAt !== undefined && expiresAt <= context.now())
    throw badRequest('It would be expired already.', 'expiresAt')
  if (parseDollars(asked.amountUsd as string) === 0n) throw badRequest('A grant of nothing is none.', 'amountUsd')
  const { expiresAt: _, ...rest } = asked
  return { ...rest, ...(expiresAt === undefined ? {} : { expiresAt }) } as unknown as Draft<'grant'>
}

/** What was charged already stays as it was: terms begin now or later, after those before them. */
function termsOf(context: AdminContext, asked: Record<string, unknown>): Draft<'terms'> {
  const now = context.now()
  const from = moment(asked.from, 'from') ?? now
  if (from < now) throw badRequest('Terms begin now or later: what was charged already stays as it was.', 'from')
  const terms = { ...asked, from } as unknown as Draft<'terms'>
  if (terms.markup !== undefined && Number(terms.markup) < -100)
    throw badRequest('A discount is at most 100 percent.', 'markup')
  for (const [model, price] of Object.entries(terms.prices ?? {})) {
    const unknown = [price.rates, ...(price.tiers ?? []).map(({ rates }) => rates)]
      .flatMap((rates) => Object.keys(rates))
      .find((bucket) => !(BUCKETS as readonly string[]).includes(bucket))
    if (unknown !== undefined)
      throw badRequest(
        `"${unknown}" is nothing that has a rate; rates are of ${BUCKETS.join(', ')}.`,
        `prices/${model}`,
      )
    compilePrice(model, price)
  }
  const others = context.gateway.store.directory.figures('terms', anchorOf(terms.scope))
  if (others.some((other: Terms) => other.from >= from))
    throw failure('conflict', {
      problem: 'There are terms that begin at that time or later; terms follow one another.',
    })
  return terms
}

interface Shapes {
  readonly draft: typeof GrantDraft | typeof TermsDraft
  readonly row: typeof GrantRow | typeof TermsRow
  readonly path: string
  readonly what: string
  readonly example: object
  made(context: AdminContext, asked: Record<string, unknown>): Draft<Kind>
}

function routesOf(kind: Kind, { draft: Draft, row: Row, path, what, example, made }: Shapes): CoreRoute[] {
  return [
    {
      method: 'GET',
      path,
      needs: 'signed-in',
      summary: `${what} that you may see; of one place, if it is named as \`at=organization:acme\`.`,
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
      summary: `Adds to the ${what.toLowerCase()}; it acts on the next request, and stays.`,
      body: Draft,
      answer: Row,
      example,
      handle(context, call: CoreCall) {
        mustManage(call.who)
        const asked = parseStrict(Draft, call.body) as Record<string, unknown> & { scope: Selector; id?: string }
        const scope = billed(context, asked.scope)
        const row = made(context, { ...asked, scope, id: asked.id ?? letters(10) })
        return shown(change(context, call, `${kind}.create`, (edit) => edit.insert(kind, row)))
      },
    },
    {
      method: 'GET',
      path: `${path}/:id`,
      needs: 'signed-in',
      row: true,
      summary: `One of the ${what.toLowerCase()}.`,
      answer: Row,
      example,
      handle: (context, { who, params }) =>
        shown(found(context, kind, params.id, (row) => sees(context, who, row.scope))),
    },
  ]
}

export const chargeRoutes: readonly CoreRoute[] = [
  ...routesOf('terms', {
    draft: TermsDraft,
    row: TermsRow,
    path: 'terms',
    what: 'Terms',
    example: { id: 'acme-2027', scope: { organization: 'acme' }, payment: 'statements', markup: '20' },
    made: termsOf,
  }),
  ...routesOf('grant', {
    draft: GrantDraft,
    row: GrantRow,
    path: 'grants',
    what: 'Grants of credit',
    example: { id: 'acme-1', scope: { organization: 'acme' }, amountUsd: '100', note: 'Order 4711' },
    made: grantOf,
  }),
]
