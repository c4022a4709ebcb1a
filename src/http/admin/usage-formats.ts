/** How rows of the ledger are written into files: CSV, JSON lines, and the columns of FOCUS 1.0 that cost tools read. */
import type { LedgerFact } from '../../core/store.ts'
import { BUCKETS } from '../../core/usage.ts'

export interface Format {
  readonly contentType: string
  readonly extension: string
  head(charging: boolean): string
  /** `charging`: what callers are charged stands beside what calls cost. */
  line(row: LedgerFact, charging: boolean): string
}

type Cell = string | number | null | undefined

/** A text that a spreadsheet would take for a formula is told to be a text. */
function cell(value: Cell): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number') return String(value)
  const plain = /^[=+\-@\t\r]/.test(value) && !/^-?\d+(?:\.\d+)?$/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain
}
const csv = (cells: readonly Cell[]): string => `${cells.map(cell).join(',')}\r\n`

/** The same fields, in the same order, in CSV and in JSON lines. */
function plain(row: LedgerFact, charging: boolean) {
  const { seq, at, principal, tags, chargeUsd, terms, ...rest } = row
  return {
    seq,
    at: new Date(at).toISOString(),
    key: principal,
    ...rest,
    tags,
    ...(charging ? { chargeUsd, terms } : {}),
  }
}
const COLUMNS = [
  'seq',
  'at',
  'key',
  'kind',
  'attempt',
  'exchange',
  'revision',
  'organization',
  'team',
  'user',
  'endUser',
  'model',
  'upstream',
  'provider',
  'upstreamModel',
  'servedModel',
  ...BUCKETS,
  'costUsd',
  'priceVersion',
  'usageSource',
  'outcome',
  'status',
  'reason',
  'upstreamRequestId',
  'tags',
] as const
const CHARGED = ['chargeUsd', 'terms'] as const

const monthOf = (at: number, more: number): string => {
  const date = new Date(at)
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + more)).toISOString()
}

const FOCUS: Readonly<Record<string, (row: LedgerFact) => Cell>> = {
  BilledCost: ({ costUsd }) => costUsd,
  BillingAccountId: ({ upstream }) => upstream,
  BillingAccountName: ({ upstream }) => upstream,
  BillingCurrency: () => 'USD',
  BillingPeriodEnd: ({ at }) => monthOf(at, 1),
  BillingPeriodStart: ({ at }) => monthOf(at, 0),
  ChargeCategory: ({ kind }) => (kind === 'adjustment' ? 'Adjustment' : 'Usage'),
  ChargeClass: ({ kind }) => (kind === 'adjustment' ? 'Correction' : null),
  ChargeDescription: ({ kind, model, upstreamModel }) =>
    `${kind === 'hit' ? 'Cached answer' : 'Call'} of ${model} (${upstreamModel})`,
  ChargeFrequency: () => 'Usage-Based',
  ChargePeriodEnd: ({ at }) => new Date(at + 1).toISOString(),
  ChargePeriodStart: ({ at }) => new Date(at).toISOString(),
  ConsumedQuantity: (row) => BUCKETS.reduce((sum, bucket) => sum + row[bucket], 0),
  ConsumedUnit: () => 'Tokens',
  ContractedCost: ({ costUsd }) => costUsd,
  EffectiveCost: ({ costUsd }) => costUsd,
  InvoiceIssuerName: ({ provider }) => provider,
  ListCost: ({ costUsd }) => costUsd,
  PricingQuantity: (row) => BUCKETS.reduce((sum, bucket) => sum + row[bucket], 0),
  PricingUnit: () => 'Tokens',
  ProviderName: ({ provider }) => provider,
  PublisherName: ({ provider }) => provider,
  ResourceId: ({ exchange, attempt }) => `${exchange}/${attempt}`,
  ResourceName: ({ model }) => model,
  ResourceType: () => 'Model',
  ServiceCategory: () => 'AI and Machine Learning',
  ServiceName: ({ upstream }) => upstream,
  SkuId: ({ upstreamModel }) => upstreamModel,
  SkuPriceId: ({ priceVersion }) => priceVersion,
  SubAccountId: ({ team, organization }) => team ?? organization,
  SubAccountName: ({ team, organization }) => team ?? organization,
  Tags: ({ tags, principal, user, endUser }) =>
    JSON.stringify({
      ...Object.fromEntries(tags.map((tag) => [tag, true])),
      'stockyard/key': principal,
      ...(user === null ? {} : { 'stockyard/user': user }),
      ...(endUser === null ? {} : { 'stockyard/end-user': endUser }),
    }),
}

/** Columns that FOCUS does not know begin so. */
const FOCUS_CHARGED: typeof FOCUS = { x_ChargedCost: ({ chargeUsd }) => chargeUsd, x_Terms: ({ terms }) => terms }

export const FORMATS = {
  csv: {
    contentType: 'text/csv; charset=utf-8',
    extension: 'csv',
    head: (charging) => csv(charging ? [...COLUMNS, ...CHARGED] : COLUMNS),
    line(row, charging) {
      const fields: Readonly<Record<string, unknown>> = { ...plain(row, charging), tags: row.tags.join(' ') }
      return csv((charging ? [...COLUMNS, ...CHARGED] : COLUMNS).map((name) => fields[name] as Cell))
    },
  },
  jsonl: {
    contentType: 'application/x-ndjson',
    extension: 'jsonl',
    head: () => '',
    line: (row, charging) => `${JSON.stringify(plain(row, charging))}\n`,
  },
  focus: {
    contentType: 'text/csv; charset=utf-8',
    extension: 'focus.csv',
    head: (charging) => csv(Object.keys(charging ? { ...FOCUS, ...FOCUS_CHARGED } : FOCUS)),
    line: (row, charging) => csv(Object.values(charging ? { ...FOCUS, ...FOCUS_CHARGED } : FOCUS).map((of) => of(row))),
  },
} as const satisfies Record<string, Format>
