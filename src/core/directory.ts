/**
 * Who there is, and the figures that apply to them: rows with a life of their own, each with a version, never part of a
 * revision and never rolled back, so that going back to an old configuration brings no revoked key back to life.
 * store/local keeps them; a request reads them through a bounded cache that a change updates at once.
 */
import type { JsonObject, JsonValue } from './request.ts'
import type { PriceConfiguration } from './store.ts'
import type { Bucket } from './usage.ts'

/** What every row has. Times are milliseconds since 1970. */
export interface Row {
  readonly id: string
  /** 1 when made; one more with each change. */
  readonly version: number
  readonly createdAt: number
  readonly updatedAt: number
}

/** What may be used. Absent: no restriction of its own. A list is met by names or by patterns in which `*` stands for anything. */
export interface Allowances {
  /** Public model names. */
  readonly models?: readonly string[]
  readonly upstreams?: readonly string[]
  /** Operations (`chat`, `embeddings`…). */
  readonly endpoints?: readonly string[]
  /** Addresses and CIDR ranges from which it may be used. */
  readonly ipRanges?: readonly string[]
}
export const PERMISSIONS = ['cache', 'logging', 'routing'] as const
/** What a client's own headers may loosen. */
export type Permission = (typeof PERMISSIONS)[number]

/** What organizations, teams, users and keys have in common. */
export interface Member extends Row, Allowances {
  readonly name?: string
  readonly blocked?: boolean
  readonly tags?: readonly string[]
  readonly metadata?: JsonObject
  readonly permissions?: readonly Permission[]
}
export interface Organization extends Member {}
export interface Team extends Member {
  readonly organization: string
}

export const ROLES = ['owner', 'admin', 'member', 'viewer', 'auditor'] as const
export type Role = (typeof ROLES)[number]

/** A role in an organization, in one of its teams (then it names both), or (with neither) in the whole instance. */
export interface Membership {
  readonly organization?: string
  readonly team?: string
  readonly role: Role
}
/** A person, or a service account: a user that cannot sign in. */
export interface User extends Member {
  readonly kind: 'user' | 'service'
  readonly email?: string
  readonly memberships: readonly Membership[]
  /** Who it is at the identity provider, once it has signed in there: `issuer subject`. */
  readonly subject?: string
}

/** Somebody who signed in. The id is a hash of the token that the browser holds. */
export interface Session extends Row {
  /** Absent: whoever holds the admin key. */
  readonly user?: string
  readonly expiresAt: number
  readonly address?: string
  readonly agent?: string
}

/** The id is the public part of the key, so it may stand in logs and on ledger rows. */
export interface Key extends Member {
  readonly organization?: string
  readonly team?: string
  /** The user or service account that owns it; absent: the instance's administrators. */
  readonly user?: string
  readonly expiresAt?: number
  /** Until when the secret before the last rotation is still good. */
  readonly overlapUntil?: number
}

/** What a figure can be about; the tree first, from the widest, then what cuts across it. */
export const DIMENSIONS = ['organization', 'team', 'user', 'key', 'endUser', 'model', 'upstream', 'tag'] as const
export type Dimension = (typeof DIMENSIONS)[number]

/**
 * Which exchanges a figure is about: all that have these values. `*` stands for each value by itself: `{endUser: '*'}` is a
 * figure for every end user separately. `{}` is the whole instance.
 */
export type Selector = { readonly [D in Dimension]?: string }

export interface Limit extends Row {
  readonly scope: Selector
  readonly counts: 'requests' | 'input_tokens' | 'output_tokens' | 'tokens' | 'parallel'
  /** Absent for `parallel`. */
  readonly per?: 'minute' | 'hour' | 'day'
  readonly amount: number
  /** Which tokens count, where it is not those that the module says. */
  readonly count?: readonly Bucket[]
}

export type CalendarUnit = 'minute' | 'hour' | 'day' | 'week' | 'month' | 'quarter' | 'year'
/** Over which time spending is added up. */
export type Window =
  | { readonly kind: 'calendar'; readonly unit: CalendarUnit; readonly timeZone?: string; readonly startDay?: number }
  | { readonly kind: 'rolling'; readonly seconds: number }
  | { readonly kind: 'lifetime' }

export interface Budget extends Row {
  readonly scope: Selector
  /** Decimal string of dollars. */
  readonly amountUsd: string
  readonly window: Window
  /** A soft one warns and lets pass. */
  readonly hard?: boolean
  /** Percent at which somebody is told. */
  readonly thresholds?: readonly number[]
  readonly onInsufficient?: 'reject' | 'clamp' | 'fallback'
  /** More for a while. */
  readonly raises?: readonly { readonly amountUsd: string; readonly until: number }[]
}

/** Prepaid credit of an organization or a team, from when the row was made. It is money: never changed, never removed. */
export interface Grant extends Row {
  readonly scope: Selector
  readonly amountUsd: string
  readonly expiresAt?: number
  readonly note?: string
}

/**
 * What an organization or a team is charged, from an instant on; the next row of the same place takes their place. Never
 * changed and never removed, so that what stands on a row of the ledger never changes its meaning.
 */
export interface Terms extends Row {
  readonly scope: Selector
  readonly from: number
  /** `prepaid`: from its grants; `statements`: after each month; `none`: no longer. */
  readonly payment: 'prepaid' | 'statements' | 'none'
  /** Percent on what a call cost, as decimal text; may be negative. */
  readonly markup?: string
  /** Models with a price of their own, by `upstream/model` or `model`; they are no multiple of anything. */
  readonly prices?: Readonly<Record<string, PriceConfiguration>>
  /** Whether calls that failed are charged for, where they cost something. */
  readonly failed?: boolean
  /** In which a statement shows its total besides dollars. */
  readonly currency?: string
  /** Who is billed, as it stands on statements. */
  readonly billTo?: readonly string[]
  readonly stripeCustomer?: string
}

export interface Rows {
  readonly organization: Organization
  readonly team: Team
  readonly user: User
  readonly key: Key
  readonly session: Session
  readonly limit: Limit
  readonly budget: Budget
  readonly grant: Grant
  readonly terms: Terms
}
export type RowKind = keyof Rows
export const ROW_KINDS: readonly RowKind[] = [
  'organization',
  'team',
  'user',
  'key',
  'session',
  'limit',
  'budget',
  'grant',
  'terms',
]
/** Rows that hang on a place in the tree: their `scope` says where. */
export type FigureKind = 'limit' | 'budget' | 'grant' | 'terms'
/** A row as it is written: the store adds version and times. */
export type Draft<K extends RowKind> = Omit<Rows[K], 'version' | 'createdAt' | 'updatedAt'>

/** Which rows of a kind: all conditions hold. In order of ids, those after `after`. */
export interface Listing {
  readonly organization?: string
  readonly team?: string
  readonly user?: string
  /** Figures that hang on this place, as `anchorOf` names it. */
  readonly anchor?: string
  /** Exactly this name; of a user, the e-mail address. */
  readonly name?: string
  /** Of a user: who it is at the identity provider. */
  readonly subject?: string
  /** Users that have a membership in this organization, or in one of its teams. */
  readonly memberOf?: string
  readonly after?: string
  readonly limit?: number
}

export interface DirectoryChange {
  readonly actor: string
  /** `key.create`, `team.update`… */
  readonly action: string
}
export interface DirectoryChangeRow extends DirectoryChange {
  readonly id: number
  readonly at: number
  /** `key/<id>` */
  readonly object: string
  readonly before: JsonValue | undefined
  readonly after: JsonValue | undefined
}

/** Inside a change: reads see what was written before. */
export interface Edit {
  get<K extends RowKind>(kind: K, id: string): Rows[K] | undefined
  list<K extends RowKind>(kind: K, listing: Listing): readonly Rows[K][]
  /** `proof` is what the secret is checked with; it stands in no answer and in no change row. Throws `conflict`. */
  insert<K extends RowKind>(kind: K, draft: Draft<K>, proof?: JsonObject): Rows[K]
  /** Replaces the whole row. Throws `not_found`, or `precondition_failed` if `expected` is not its version. */
  update<K extends RowKind>(
    kind: K,
    draft: Draft<K>,
    options?: { expected?: number; proof?: JsonObject | null },
  ): Rows[K]
  remove(kind: RowKind, id: string): void
  /** Another line of the record, for what is no row. */
  note(object: string, before: JsonValue | undefined, after: JsonValue | undefined): void
}

/** All methods may throw `storage_unavailable`; what is cached goes on being answered. */
export interface Directory {
  /** Another number after each change. What was computed from rows is good for as long as it is the same. */
  readonly epoch: number
  /** Through the cache; cold it is one prepared read. */
  get<K extends RowKind>(kind: K, id: string): Rows[K] | undefined
  /** What a key's or a user's secret is checked with. Through the cache. */
  proof(kind: 'key' | 'user', id: string): JsonObject | undefined
  /** The figures of a kind that hang on one place of the tree. Through the cache. */
  figures<K extends FigureKind>(kind: K, anchor: string): readonly Rows[K][]
  /** Straight from the file, for administration. */
  list<K extends RowKind>(kind: K, listing: Listing): readonly Rows[K][]
  /** One transaction: the rows, and for each of them a line of who changed what. Throws without any effect. */
  change<T>(change: DirectoryChange, work: (edit: Edit) => T): T
  /** The record, in order, of what came after a line. */
  changes(afterId: number, limit: number): readonly DirectoryChangeRow[]
}

/**
 * Where in the tree a figure hangs, so that those of an exchange are found by a handful of exact names and never by a
 * search: the narrowest place that its selector names, or the instance.
 */
export function anchorOf(scope: Selector): string {
  for (const dimension of ANCHORS) {
    const value = scope[dimension]
    if (value !== undefined && value !== '*') return `${dimension}:${value}`
  }
  return 'instance'
}
const ANCHORS = ['key', 'endUser', 'user', 'team', 'organization'] as const
