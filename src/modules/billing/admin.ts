/** Statements, balances and Stripe at work. Terms and grants are rows of the directory, and set there. */
import { type TObject, Type } from 'typebox'
import { badRequest, failure } from '../../core/errors.ts'
import { type AdminCall, type AdminRoute, Download, type Host } from '../../core/module.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import { INSTANCE, may } from '../../core/roles.ts'
import { Credits } from './credit.ts'
import type { Settings } from './settings.ts'
import { statementCsv } from './statement-csv.ts'
import { statementPdf } from './statement-pdf.ts'
import { type Content, type Frozen, Statements } from './statements.ts'
import { TermsBook } from './terms.ts'
import { stripeWebhook } from './webhook.ts'

const closed = { additionalProperties: false }
const row = Type.Object({}, { additionalProperties: true })
const text = Type.String({ maxLength: 100 })
const MOST = 1_000

/** What started modules and routes share. */
export interface Shared {
  readonly book: TermsBook
  readonly credits: Credits
  settings: Settings | undefined
  /** Does now what is done from time to time. */
  push: (() => Promise<void>) | undefined
}
export function sharedOf(host: Host): Shared {
  const known = host.memory.get('shared') as Shared | undefined
  if (known) return known
  const book = new TermsBook(host.directory)
  const made: Shared = { book, credits: new Credits(host, book), settings: undefined, push: undefined }
  host.memory.set('shared', made)
  return made
}
function statementsOf(host: Host): Statements {
  const { book, settings } = sharedOf(host)
  return new Statements(host, book, settings as Settings)
}

/** Whoever sees the money of a place sees what it is billed; of what is nobody's, those who see everything. */
function mustSee(host: Host, { who }: AdminCall, account: string): void {
  const [kind, id] = account.split(':') as [string, string | undefined]
  const place =
    kind === 'team'
      ? { organization: host.directory.get('team', id ?? '')?.organization, team: id }
      : { organization: id }
  if (may(who, 'usage', INSTANCE) || (id !== undefined && may(who, 'usage', place))) return
  throw failure('not_found', { what: `account "${account.slice(0, 100)}"` })
}

/** One is made by whoever manages the instance: its recipient does not say when a month is closed. */
const dollars = (nanos: bigint): string => formatDollars(nanoUsdOf(nanos))
const iso = (at: number): string | null => (Number.isFinite(at) ? new Date(at).toISOString() : null)

async function balanceOf(host: Host, account: string): Promise<object> {
  const credit = sharedOf(host).credits.of(account)
  for (let loading = credit.ready(host.now()); loading; loading = credit.ready(host.now())) await loading
  const { purse } = credit
  return {
    account,
    creditUsd: dollars(purse.balance),
    heldUsd: dollars(credit.held),
    debtUsd: dollars(purse.debt),
    grants: purse.pots
      .filter(({ left }) => left > 0n)
      .map(({ id, left, expiresAt }) => ({ grant: id, leftUsd: dollars(left), expiresAt: iso(expiresAt) })),
  }
}

const shown = ({ content, hash, frozenAt, actor }: Frozen): object => ({
  ...content,
  hash,
  frozenAt: iso(frozenAt),
  actor,
})

async function* once(bytes: string | Uint8Array): AsyncGenerator<string | Uint8Array> {
  yield bytes
}
async function written(content: Content, format: unknown): Promise<Download | undefined> {
  const name = content.number === null ? `draft-${content.month}` : `statement-${content.number.replaceAll('/', '-')}`
  if (format === 'csv') return new Download('text/csv; charset=utf-8', `${name}.csv`, once(statementCsv(content)))
  if (format === 'pdf') return new Download('application/pdf', `${name}.pdf`, once(await statementPdf(content)))
  if (format === undefined || format === 'json') return undefined
  throw badRequest('"format" is json, csv or pdf.', 'format')
}

function numberOf({ params }: AdminCall): number {
  if (!/^\d{1,15}$/.test(params.number ?? '')) throw failure('not_found', { what: 'such statement' })
  return Number(params.number)
}

const Format: TObject = Type.Object({ format: Type.Optional(text) }, closed)
const Month = Type.Object({ account: text, month: text, format: Type.Optional(text) }, closed)
const example = { number: '1', account: 'organization:acme', month: '2026-11', totalUsd: '12.5' }

export const admin: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: 'billing/balances',
    summary: 'What is left of the credit of one prepaid account, or of all.',
    needs: 'signed-in',
    query: Type.Object({ account: Type.Optional(text) }, closed),
    answer: Type.Object({ balances: Type.Array(row) }),
    example: {
      balances: [{ account: 'organization:acme', creditUsd: '97.5', heldUsd: '0', debtUsd: '0', grants: [] }],
    },
    async handle(host, call) {
      const { book } = sharedOf(host)
      const { account } = call.query as { account?: string }
      if (account !== undefined) {
        mustSee(host, call, account)
        return { balances: [await balanceOf(host, account)] }
      }
      if (!may(call.who, 'usage', INSTANCE))
        throw failure('permission_denied', { problem: 'Name an account of yours.' })
      const prepaid = book.accounts().filter((one) => book.all(one)[0]?.terms.payment === 'prepaid')
      const balances: object[] = []
      for (const one of prepaid.slice(0, MOST)) balances.push(await balanceOf(host, one))
      return { balances }
    },
  },
  {
    method: 'GET',
    path: 'billing/draft',
    summary: 'What the statement of a month would say now, as JSON, CSV or PDF. It has no number.',
    needs: 'signed-in',
    query: Month,
    answer: row,
    example: { ...example, number: null },
    async handle(host, call) {
      const { account, month, format } = call.query as { account: string; month: string; format?: string }
      mustSee(host, call, account)
      const content = await statementsOf(host).draft(account, month)
      return (await written(content, format)) ?? content
    },
  },
  {
    method: 'POST',
    path: 'billing/statements',
    summary: 'Freezes the statement of a month that is over: it gets the next number and never changes again.',
    body: Type.Object({ account: text, month: text }, closed),
    answer: row,
    example,
    async handle(host, { body, actor }) {
      const { account, month } = body as { account: string; month: string }
      return shown(await statementsOf(host).freeze(account, month, actor))
    },
  },
  {
    method: 'GET',
    path: 'billing/statements',
    summary: 'Frozen statements, the newest first, of one account or of all.',
    needs: 'signed-in',
    query: Type.Object(
      { account: Type.Optional(text), before: Type.Optional(text), limit: Type.Optional(text) },
      closed,
    ),
    answer: Type.Object({ statements: Type.Array(row) }),
    example: { statements: [example] },
    async handle(host, call) {
      const { account, before, limit } = call.query as { account?: string; before?: string; limit?: string }
      if (account !== undefined) mustSee(host, call, account)
      else if (!may(call.who, 'usage', INSTANCE))
        throw failure('permission_denied', { problem: 'Name an account of yours.' })
      const most = Math.min(MOST, Math.max(1, Number(limit ?? 100) || 100))
      const found = await statementsOf(host).list(account, before === undefined ? undefined : Number(before) || 0, most)
      return { statements: found.map(shown) }
    },
  },
  {
    method: 'GET',
    path: 'billing/statements/:number',
    summary: 'One frozen statement, as JSON, CSV or PDF: the same bytes whenever it is asked for.',
    needs: 'signed-in',
    told: true,
    query: Format,
    answer: row,
    example,
    async handle(host, call) {
      const frozen = await statementsOf(host).find(numberOf(call))
      mustSee(host, call, frozen.content.account)
      return (await written(frozen.content, call.query.format)) ?? shown(frozen)
    },
  },
  {
    method: 'GET',
    path: 'billing/statements/:number/verify',
    summary: 'Makes a frozen statement again from the ledger, and says whether it is the same to the byte.',
    needs: 'signed-in',
    answer: row,
    example: { same: true, hash: '9f86d0…', again: '9f86d0…' },
    async handle(host, call) {
      const statements = statementsOf(host)
      const number = numberOf(call)
      mustSee(host, call, (await statements.find(number)).content.account)
      return statements.verify(number)
    },
  },
  {
    method: 'GET',
    path: 'billing/meter-events',
    summary: 'The newest meter events for Stripe, whether they were taken, and what is in their way.',
    answer: Type.Object({ events: Type.Array(row) }),
    example: {
      events: [{ identifier: 'sy-…', account: 'organization:acme', value: '1250000', sentAt: null, problem: null }],
    },
    async handle(host) {
      const rows = await host.tables.query('meterEvents', { limit: MOST })
      return {
        events: rows.map(({ sent_at, next_at, at, value, ...event }) => ({
          ...event,
          value: String(value),
          at: iso(Number(at)),
          sentAt: sent_at === null ? null : iso(Number(sent_at)),
          nextAt: next_at === null ? null : iso(Number(next_at)),
        })),
      }
    },
  },
  {
    method: 'POST',
    path: 'billing/meter-events/push',
    summary: 'Sends what is due to Stripe now; with an identifier, also one that was given up.',
    body: Type.Object({ resume: Type.Optional(text) }, closed),
    answer: row,
    example: { pushed: true },
    async handle(host, { body }) {
      const { push } = sharedOf(host)
      if (!push) throw badRequest('Nothing is pushed: "stripe" is not set in the settings of this module.')
      const { resume } = (body ?? {}) as { resume?: string }
      if (resume !== undefined) {
        const { changes } = await host.tables.run('resume', { identifier: resume, now: host.now() })
        if (changes === 0) throw failure('not_found', { what: `meter event "${resume}" that was not sent` })
      }
      await push()
      return { pushed: true }
    },
  },
  {
    method: 'POST',
    path: 'billing/stripe/webhook',
    summary: 'For Stripe: a paid checkout becomes credit. It is not there until the secret "stripe-webhook" is set.',
    needs: 'public',
    signed: true,
    answer: row,
    example: { received: true, effect: 'credited' },
    handle: (host, call) => stripeWebhook(host, sharedOf(host).book, call),
  },
]
