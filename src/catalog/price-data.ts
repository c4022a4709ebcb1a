/**
 * The shape of the committed price table and of our own additions to it. The table is written by scripts/prices.ts
 * and holds integers only: nano-dollars per million tokens, per call, or per request.
 */
import type { Bucket } from '../core/usage.ts'
import data from './prices.data.json' with { type: 'json' }

/** Which model names an entry is for. Everything but `regex` is compared in lower case. */
export type MatchRule =
  | { readonly equals: string }
  | { readonly starts_with: string }
  | { readonly ends_with: string }
  | { readonly contains: string }
  | { readonly regex: string }
  | { readonly or: readonly MatchRule[] }
  | { readonly and: readonly MatchRule[] }

export type RateData = Readonly<Partial<Record<Bucket, number>>>

export interface PriceEntry {
  /** First day (UTC) on which it holds, e.g. "2026-08-17"; absent: since ever. */
  readonly from?: string
  /** Holds only in this daily window (UTC, from inclusive, to exclusive), within the dated entry that stands before it. */
  readonly window?: readonly [from: string, to: string]
  readonly rates: RateData
  readonly tiers?: readonly { readonly above: number; readonly rates: RateData }[]
  /** Ten-thousandths of the token rates, by service tier. */
  readonly serviceTiers?: Readonly<Record<string, number>>
  readonly perCall?: Readonly<Record<string, number>>
  readonly perRequest?: number
}

export interface ModelEntry {
  readonly id: string
  readonly match: MatchRule
  /** Absent: known, but billed in something else than tokens or requests; such a model stays unpriced. */
  readonly prices?: readonly PriceEntry[]
  /** Names the price instead of the table's own version. */
  readonly version?: string
  /** Withdrawn by its vendor: priced and routed, but no longer offered in lists. */
  readonly deprecated?: boolean
  /** A pattern or a name that the vendor's API does not take: priced only. */
  readonly hidden?: boolean
}

export interface CatalogData {
  /** Names of which this vendor is the maker. */
  readonly makes?: MatchRule
  /** Catalogs to look in when this one has no entry. */
  readonly fallback?: readonly string[]
  readonly models?: readonly ModelEntry[]
  /** A part of another catalog: its entries whose id matches `only`. */
  readonly of?: string
  readonly only?: MatchRule
}

export interface PriceData {
  readonly source: string
  readonly version: string
  readonly date: string
  readonly ownDate: string
  readonly catalogs: Readonly<Record<string, CatalogData>>
}

export const PRICE_DATA = data as unknown as PriceData
