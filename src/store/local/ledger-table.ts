/** The ledger's columns as the query builder knows them, and a stored row read back in the core's words. */
import type { AttemptOutcome } from '../../core/exchange.ts'
import { BUCKETS, type Bucket, type Usage, type UsageSource } from '../../core/usage.ts'

/** Bucket → column. */
export const COLUMN_OF = {
  input: 'input',
  cacheRead: 'cache_read',
  cacheWrite5m: 'cache_write_5m',
  cacheWrite1h: 'cache_write_1h',
  output: 'output',
  reasoning: 'reasoning',
  imageInput: 'image_input',
  imageOutput: 'image_output',
  audioInput: 'audio_input',
  audioOutput: 'audio_output',
} as const satisfies Record<Bucket, string>
export type TokenColumn = (typeof COLUMN_OF)[Bucket]

type TokenColumns = { readonly [column in TokenColumn]: bigint | null }

export interface LedgerColumns extends TokenColumns {
  readonly seq: bigint
  readonly kind: 'opened' | 'closed' | 'hit' | 'adjustment' | 'grant'
  readonly attempt: bigint
  readonly at: bigint
  readonly exchange: string
  readonly revision: bigint
  readonly principal: string
  readonly organization: string | null
  readonly team: string | null
  readonly user: string | null
  readonly end_user: string | null
  readonly tags: string | null
  readonly model: string
  readonly upstream: string
  readonly provider: string
  readonly upstream_model: string
  readonly held: bigint | null
  readonly calls: string | null
  readonly service_tier: string | null
  readonly cost: bigint | null
  readonly price_version: string | null
  readonly usage_source: UsageSource | null
  readonly outcome: AttemptOutcome | null
  readonly status: bigint | null
  readonly reason: string | null
  readonly served_model: string | null
  readonly upstream_request_id: string | null
  readonly written_at: bigint | null
  readonly charge: bigint | null
  readonly terms: string | null
}
export interface LedgerTables {
  readonly ledger: LedgerColumns
}

export function usageOf(row: Pick<LedgerColumns, TokenColumn | 'calls' | 'service_tier' | 'usage_source'>): Usage {
  const usage: Partial<Record<Bucket, number>> & {
    source: UsageSource
    calls?: Record<string, number>
    serviceTier?: string
  } = {
    source: row.usage_source ?? 'none',
  }
  for (const bucket of BUCKETS) {
    const tokens = row[COLUMN_OF[bucket]]
    if (tokens !== null) usage[bucket] = Number(tokens)
  }
  if (row.calls !== null) usage.calls = JSON.parse(row.calls) as Record<string, number>
  if (row.service_tier !== null) usage.serviceTier = row.service_tier
  return usage
}
