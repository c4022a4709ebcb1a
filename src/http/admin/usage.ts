/** Routes about what was used and what it cost: sums, rows to take away, and past calls priced anew. */
import { type TObject, Type } from 'typebox'
import { failure } from '../../core/errors.ts'
import type { Principal } from '../../core/exchange.ts'
import { Download } from '../../core/module.ts'
import { type Actor, type View, viewOf } from '../../core/roles.ts'
import { parseStrict } from '../../core/settings.ts'
import type { AdminStore, CoreRoute, LedgerSelection } from './route.ts'
import { FORMATS, type Format } from './usage-formats.ts'

const closed = { additionalProperties: false }
const anything: TObject = Type.Object({}, { additionalProperties: true })
const text = Type.Optional(Type.String())
const FILTERS = [
  'organization',
  'team',
  'user',
  'key',
  'endUser',
  'model',
  'upstream',
  'tag',
  'provider',
  'upstreamModel',
  'principal',
] as const
const GROUPS: readonly string[] = [...FILTERS, 'day', 'hour']
const selection = { from: text, to: text, ...Object.fromEntries(FILTERS.map((name) => [name, text])) }
const UsageQuery = Type.Object({ groupBy: text, ...selection }, closed)
const Export = Type.Object(
  {
    format: Type.Optional(Type.Union([Type.Literal('csv'), Type.Literal('jsonl'), Type.Literal('focus')])),
    ...selection,
  },
  closed,
)
const Reprice = Type.Object(
  {
    model: text,
    upstream: text,
    from: text,
    to: text,
    organization: text,
    key: text,
    all: Type.Optional(Type.Boolean({ description: 'Also what had a price, or was corrected before.' })),
  },
  closed,
)

function moment(value: string | undefined, name: string): number | undefined {
  if (value === undefined) return undefined
  const at = Date.parse(value)
  if (Number.isNaN(at)) throw failure('invalid_request', { problem: `"${name}" is not a time`, param: name })
  return at
}

/** Of what was asked for, what this person may see. */
function selectionOf(
  { from, to, ...asked }: Record<string, string | undefined>,
  who: Actor,
  now: number,
): LedgerSelection {
  const filters = { ...asked, ...viewOf(who, asked as View) }
  return {
    from: moment(from, 'from') ?? 0,
    to: moment(to, 'to') ?? now + 1,
    filters: filters as Record<string, string>,
  }
}

function groupsOf(asked: string): string[] {
  const groups = [...new Set(asked.split(','))]
  const unknown = groups.find((group) => !GROUPS.includes(group))
  if (unknown === undefined) return groups
  const problem = `"groupBy" may name ${GROUPS.join(', ')}`
  throw failure('invalid_request', { problem, param: 'groupBy' })
}

async function* written(
  store: AdminStore,
  selected: LedgerSelection,
  format: Format,
  charging: boolean,
): AsyncGenerator<string> {
  yield format.head(charging)
  let after: { at: number; seq: number } | undefined
  for (;;) {
    const rows = await store.rows({ ...selected, ...(after ? { after } : {}) })
    const last = rows.at(-1)
    if (!last) return
    yield rows.map((row) => format.line(row, charging)).join('')
    after = { at: last.at, seq: last.seq }
  }
}

export const usageRoutes: readonly CoreRoute[] = [
  {
    method: 'GET',
    path: 'usage',
    summary:
      'Tokens and money from the ledger, grouped and filtered by any of organization, team, user, key, endUser, model, upstream, tag, day, hour…',
    query: UsageQuery,
    needs: 'signed-in',
    answer: anything,
    example: { rows: [{ day: '2026-11-23', model: 'gpt-4o-mini', requests: 3, costUsd: '0.000069' }] },
    async handle({ store, gateway, now }, { query, who }) {
      const { groupBy, ...asked } = query as Record<string, string | undefined>
      const groups = groupsOf(groupBy ?? 'model,upstream')
      const rows = await store.usage({ ...selectionOf(asked, who, now()), groupBy: groups })
      return { rows: gateway.store.ledger.charging ? rows : rows.map(({ chargeUsd: _, ...row }) => row) }
    },
  },
  {
    method: 'GET',
    path: 'usage/export',
    summary: 'The rows of the ledger themselves, as CSV, as JSON lines, or as CSV with the columns of FOCUS 1.0.',
    query: Export,
    needs: 'signed-in',
    answer: anything,
    example: { at: '2026-11-24T12:00:00.000Z', kind: 'closed', model: 'gpt-4o-mini', costUsd: '0.000023' },
    handle({ store, gateway, now }, { query, who }) {
      const { format = 'csv', ...asked } = query as Record<string, string | undefined>
      const write = FORMATS[format as keyof typeof FORMATS]
      return new Download(
        write.contentType,
        `usage.${write.extension}`,
        written(store, selectionOf(asked, who, now()), write, gateway.store.ledger.charging),
      )
    },
  },
  {
    method: 'GET',
    path: 'usage/unpriced',
    summary: 'Models that were used without a known price, with how much.',
    answer: anything,
    example: { models: [{ upstream: 'custom', model: 'my-model', requests: 12 }] },
    handle: async ({ store }) => ({ models: await store.unpriced() }),
  },
  {
    method: 'POST',
    path: 'usage/reprice',
    summary:
      'Books past calls again at the price that is set now, as adjustments; nothing is rewritten. Of an organization or a key: its calls, at its price.',
    body: Reprice,
    answer: anything,
    example: { upstream: 'custom', model: 'my-model' },
    async handle({ store, gateway, now }, call) {
      const { model, upstream, from, to, organization, key, all } = parseStrict(Reprice, call.body)
      const target = gateway.snapshot.upstreams.get(upstream ?? '')
      if (!target || model === undefined) {
        throw failure('invalid_request', {
          problem: 'Name an upstream that is configured, and the model as it is called there.',
        })
      }
      const whose =
        organization ?? (key === undefined ? undefined : gateway.store.directory.get('key', key)?.organization)
      const caller: Principal = {
        kind: 'key',
        id: key ?? '',
        scope: '',
        ...(whose === undefined ? {} : { organization: whose }),
      }
      const price = gateway.snapshot.prices.of({ upstream: target, model }, now(), caller)
      if (!price) throw failure('not_found', { what: `price for ${upstream}/${model}; set one with PUT /api/prices` })
      const selection = {
        upstream: target.id,
        upstreamModel: model,
        from: moment(from, 'from') ?? 0,
        to: moment(to, 'to') ?? now() + 1,
        filters: { ...(organization === undefined ? {} : { organization }), ...(key === undefined ? {} : { key }) },
        unpricedOnly: all !== true,
      }
      return call.dry ? { dry: true } : store.reprice(selection, price, call.actor)
    },
  },
]
