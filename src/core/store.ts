/**
 * The ports through which core and modules reach anything that outlives a request. store/local implements them with
 * SQLite; a cluster implementation will stand beside it. Times are milliseconds since 1970.
 */
import type { Capabilities } from './catalog.ts'
import type { Dimension, Directory } from './directory.ts'
import type { AttemptOutcome } from './exchange.ts'
import type { Worker } from './module.ts'
import type { NanoUsd } from './money.ts'
import type { Objects } from './objects.ts'
import type { JsonObject, JsonValue } from './request.ts'
import type { KeyLimits } from './routing/health.ts'
import type { Bucket, Usage } from './usage.ts'

/** Who and where a money fact belongs to; the same on both rows of an attempt. */
export interface LedgerScope {
  readonly exchange: string
  readonly revision: number
  /** The key's public id; else `local`, `proxy`, `token:…`. */
  readonly principal: string
  readonly organization?: string
  readonly team?: string
  readonly user?: string
  readonly endUser?: string
  readonly tags?: readonly string[]
  /** The public name the client asked for, and what was called. */
  readonly model: string
  readonly upstream: string
  readonly provider: string
  readonly upstreamModel: string
}

export interface OpenedRow extends LedgerScope {
  readonly kind: 'opened'
  readonly attempt: number
  readonly at: number
  readonly held: NanoUsd
}
/** What a caller is charged for an attempt, beside what it cost: by which terms (see directory.ts), which stay for ever. */
export interface Charge {
  readonly charge: NanoUsd
  readonly terms: string
}
export interface ClosedRow extends LedgerScope, Partial<Charge> {
  readonly kind: 'closed'
  readonly attempt: number
  readonly at: number
  readonly usage: Usage
  readonly cost: NanoUsd
  /** Absent: there was no price, so the cost is 0 and says nothing. */
  readonly priceVersion?: string
  readonly outcome: AttemptOutcome
  readonly status?: number
  readonly reason?: string
  readonly servedModel?: string
  readonly upstreamRequestId?: string
}
/** A reply served from what was kept: costs nothing, counts as a request. */
export interface HitRow extends LedgerScope {
  readonly kind: 'hit'
  readonly attempt: number
  readonly at: number
  readonly usage: Usage
}
/** Corrects the cost of a settled attempt; belongs to the time of what it corrects. */
export interface AdjustmentRow extends LedgerScope, Partial<Charge> {
  readonly kind: 'adjustment'
  readonly attempt: number
  readonly at: number
  /** The difference, in nano-dollars; may be negative. */
  readonly cost: NanoUsd
  readonly priceVersion: string
  readonly reason: string
  readonly writtenAt: number
  /** What it corrects, where that was charged for: it is not written again. */
  readonly corrects?: { readonly terms: string; readonly outcome: AttemptOutcome; readonly cost: NanoUsd }
}
export type LedgerRow = OpenedRow | ClosedRow | HitRow | AdjustmentRow

/** Which committed rows to add up: those from `from` on, before `to`, that have exactly these values. */
export interface SumsQuestion {
  /** Milliseconds since 1970. */
  readonly from: number
  readonly to?: number
  readonly where: Readonly<Partial<Record<Dimension, string>>>
  /** Apart for each stretch of time of this length; absent: all together. */
  readonly slotMs?: number
}
export interface Sums {
  /** Since 1970, in units of `slotMs`; 0 where nothing was asked apart. */
  readonly slot: number
  readonly requests: number
  readonly usage: Usage
  readonly cost: NanoUsd
}

/** What was charged under some terms: by time, and by the numbers of the rows (`after` and `through` are row numbers). */
export interface ChargesQuestion {
  readonly terms: readonly string[]
  readonly from?: number
  readonly to?: number
  readonly after?: number
  readonly through: number
  /** Apart for each stretch of time that these instants, in order, part: before the first is 0. */
  readonly borders?: readonly number[]
}
export interface Charges {
  /** Of `borders`; else 0. */
  readonly stretch: number
  readonly terms: string
  readonly team: string | null
  readonly model: string
  readonly calls: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly charge: NanoUsd
}

/** A settled row as it leaves the house. Money as decimal strings of dollars. */
export interface LedgerFact extends Readonly<Record<Bucket, number>> {
  readonly seq: number
  readonly at: number
  readonly kind: string
  readonly attempt: number
  readonly exchange: string
  readonly revision: number
  readonly principal: string
  readonly organization: string | null
  readonly team: string | null
  readonly user: string | null
  readonly endUser: string | null
  readonly tags: readonly string[]
  readonly model: string
  readonly upstream: string
  readonly provider: string
  readonly upstreamModel: string
  readonly servedModel: string | null
  readonly costUsd: string
  readonly priceVersion: string | null
  /** Null: nothing was charged for it, because nobody was to be. */
  readonly chargeUsd: string | null
  readonly terms: string | null
  readonly usageSource: string | null
  readonly outcome: string | null
  readonly status: number | null
  readonly reason: string | null
  readonly upstreamRequestId: string | null
}

/** Hears of rows as they are committed, before anybody who waited for them. */
export interface LedgerWatcher {
  committed(rows: readonly LedgerRow[]): void
  /** Some rows may have been told twice: what was added up from them is to be asked for anew. */
  doubtful(): void
}

/** Append-only money facts. */
export interface Ledger {
  /** A new id for an attempt, never used before, also not before a crash. */
  nextId(): number
  /**
   * Resolves when the row is as durable as configured. Rows appended in one turn commit together.
   * Rejects with `storage_full` or `storage_unavailable`.
   */
  append(row: LedgerRow): Promise<void>
  /** Returns how to stop. */
  watch(watcher: LedgerWatcher): () => void
  /**
   * Sums of what is committed now: no row that a watcher was told before the call is missing, and none that it is told
   * later is in them. Sums and watching together therefore count every row once.
   */
  sums(question: SumsQuestion): Promise<readonly Sums[]>
  /** The number of the newest committed row; rows are numbered without gaps. */
  readonly lastSeq: number
  /** Sums of what was charged, by terms, team and model. */
  charges(question: ChargesQuestion): Promise<readonly Charges[]>
  /** From now on rows are charged for as this says, just before they are written. Returns how to stop. */
  charge(of: (row: ClosedRow | AdjustmentRow) => Charge | undefined): () => void
  /** Whether somebody says what is charged. */
  readonly charging: boolean
  /** Why nothing can be written at the moment, if so: new exchanges are refused before anything goes upstream. */
  readonly trouble: 'storage_full' | 'storage_unavailable' | undefined
}

/** A module's own rows in a log file: droppable, bounded, written in batches by a worker. */
export interface Journal {
  /** Values in the order of the statement's `?`. Never waits and never throws; what does not fit is dropped and counted. */
  append(rows: readonly JournalRow[]): void
  readonly dropped: number
}

export type JournalRow = readonly (null | string | number)[]

/** Named statements a module declares in its `tables.ts`; all values are bound, none is spliced. */
export interface Tables {
  /** Runs in the store's worker, read-only. Parameters by name; rows as plain objects. */
  query(
    statement: string,
    parameters?: Readonly<Record<string, SqlValue>>,
  ): Promise<readonly Record<string, SqlValue>[]>
  run(statement: string, parameters?: Readonly<Record<string, SqlValue>>): Promise<{ readonly changes: number }>
  /** Executes the statement, whose parameters are `?`, once for each row, in one transaction per batch. Droppable. */
  journal(statement: string): Journal
}
export type SqlValue = null | string | number | bigint | Uint8Array

/** What a module keeps in a file of its own. `file` names the database it shares with others of its kind. */
export interface TablesDefinition {
  readonly file: 'logs' | 'stockyard' | 'audit'
  /** Numbered from 1, applied in order, never edited once released. */
  readonly migrations: readonly string[]
  readonly statements: Readonly<Record<string, string>>
}

/** Kept replies of one scope. There is no form of the cache that is not somebody's. */
export interface ScopedCache {
  get(key: string): CacheEntry | undefined
  set(key: string, entry: CacheEntry, ttlMs: number): void
  delete(key: string): void
  /** Resolves when what was set so far survives the end of the process, as far as it was to be kept there at all. */
  written(): Promise<void>
}
export interface CacheEntry {
  readonly meta: JsonObject
  readonly body: Buffer
  readonly storedAt: number
}

/** Everything that is compiled, versioned and rolled back as a whole. Also the shape of `stockyard.yaml`. */
export interface Configuration {
  readonly modules: Readonly<Record<string, ModuleConfiguration>>
  readonly upstreams: Readonly<Record<string, UpstreamConfiguration>>
  readonly routes: Readonly<Record<string, RouteConfiguration>>
  readonly aliases: Readonly<Record<string, AliasConfiguration>>
  readonly prices: Readonly<Record<string, readonly PriceConfiguration[]>>
  readonly overrides?: Readonly<Record<string, OverrideConfiguration>>
  /** Objects that a file owns (`routes/gpt-4o`), and which file: they are read-only elsewhere. */
  readonly file?: { readonly name: string; readonly owns: readonly string[] }
}
export interface ModuleConfiguration {
  readonly mode: Mode
  readonly settings: JsonObject
  /** Places below may make it looser, not only stricter. */
  readonly unlocked?: boolean
}
/** What differs at one place (`organization:acme`, `team:ml`, `key:…`), by module. */
export interface OverrideConfiguration {
  readonly modules: Readonly<Record<string, Partial<ModuleConfiguration>>>
}
export type Mode = 'off' | 'observe' | 'enforce'
export interface UpstreamConfiguration {
  readonly provider: string
  readonly baseUrl?: string
  readonly options?: JsonObject
  /** Secrets are kept sealed elsewhere, under (upstream id, credential id). */
  readonly credentials?: readonly CredentialConfiguration[]
  readonly headers?: Readonly<Record<string, string>>
  readonly models?: readonly string[]
  readonly callerKeys?: boolean
  readonly callerPays?: boolean
  readonly allowHosts?: readonly string[]
  readonly network?: NetworkConfiguration
  readonly healthCheck?: { readonly everyMs: number; readonly path?: string }
}
/** Its secrets are kept sealed elsewhere, under (upstream id, name in `NETWORK_SECRETS`). */
export interface NetworkConfiguration {
  /** `direct`, or an HTTP proxy's address. */
  readonly proxy?: string
  /** PEM. */
  readonly ca?: string
  readonly certificate?: string
}
/** No credential can have such a name. */
export const NETWORK_SECRETS = { certificateKey: '#certificateKey', proxyCredentials: '#proxyCredentials' } as const
export interface CredentialConfiguration {
  readonly id: string
  readonly weight?: number
  readonly limits?: KeyLimits
}
export interface TargetConfiguration {
  readonly upstream: string
  readonly model: string
  readonly weight?: number
  readonly order?: number
  readonly tags?: readonly string[]
  readonly timeouts?: Readonly<Record<string, number>>
  readonly capabilities?: Capabilities
  readonly maxPrice?: PriceCapConfiguration
  readonly continues?: boolean
  readonly defaults?: JsonObject
  readonly overrides?: JsonObject
}
/** Dollars per million tokens, as decimal strings. */
export interface PriceCapConfiguration {
  readonly input?: string
  readonly output?: string
}
export type StrategyName = 'priority' | 'weighted' | 'round-robin' | 'least-busy' | 'latency' | 'cost' | 'usage'
export type StickyBy = 'session' | 'prompt-cache-key' | 'prefix' | 'principal'
export interface ConditionConfiguration {
  /** `model`, `tokens`, `principal.team`, `metadata.x`, `headers.x`, `parameters.x`, `time.hour`… */
  readonly field: string
  readonly operator: string
  readonly value?: JsonValue
}
export interface RouteConfiguration {
  readonly strategy?: StrategyName
  readonly targets: readonly TargetConfiguration[]
  readonly sticky?: { readonly by?: readonly StickyBy[]; readonly ttlSeconds?: number }
  /** The first whose conditions all hold decides which tags a target must have (any of them). */
  readonly rules?: readonly {
    readonly name?: string
    readonly when: readonly ConditionConfiguration[]
    readonly use: readonly string[]
  }[]
  readonly splits?: readonly { readonly name?: string; readonly percent: number; readonly use: readonly string[] }[]
  readonly mirror?: { readonly upstream: string; readonly model: string; readonly percent?: number }
  /** Public names, by why the route's own targets cannot serve. */
  readonly fallbacks?: {
    readonly contextWindow?: readonly string[]
    readonly contentPolicy?: readonly string[]
    readonly general?: readonly string[]
  }
  readonly maxPrice?: PriceCapConfiguration
  /** Targets that answer 400 to a field of the request are left out. */
  readonly requireParameters?: boolean
  /** A stream that breaks after content goes on at a target that `continues`, at most this often. */
  readonly continuations?: number
  readonly unsupported?: 'reject' | 'drop'
  readonly timeouts?: Readonly<Record<string, number>>
}
/** The name may end in `*`. `model` is a public name or `upstream/model`; its `*` takes what the name's matched. */
export interface AliasConfiguration {
  readonly model: string
  readonly defaults?: JsonObject
  readonly overrides?: JsonObject
}
/** Dollars per million tokens as decimal strings, from a date on. Keyed by `upstream/model` or `model`. */
export interface PriceConfiguration {
  readonly from?: string
  /** Only for calls of this organization, or with this key. */
  readonly organization?: string
  readonly key?: string
  readonly rates: Readonly<Record<string, string>>
  readonly tiers?: readonly { readonly aboveInputTokens: number; readonly rates: Readonly<Record<string, string>> }[]
  /** Multiples of the token rates, as decimal text: `0.5`. */
  readonly serviceTiers?: Readonly<Record<string, string>>
  readonly perRequest?: string
  readonly perCall?: Readonly<Record<string, string>>
}

export const EMPTY_CONFIGURATION: Configuration = { modules: {}, upstreams: {}, routes: {}, aliases: {}, prices: {} }

export interface Revision {
  readonly id: number
  readonly at: number
  readonly actor: string
  readonly action: string
  readonly before: JsonValue
  readonly after: JsonValue
}

/** What a change is known by for ever: who, what kind of change, and the values before and after (never secrets). */
export interface ChangeMeta {
  readonly actor: string
  readonly action: string
  readonly before: JsonValue
  readonly after: JsonValue
}
export interface Acted {
  readonly actor: string
  readonly action: string
}
/** The store as the gateway uses it. */
export interface Store {
  readonly ledger: Ledger
  readonly configuration: {
    load(): { readonly revision: number; readonly configuration: Configuration }
    /** Throws `precondition_failed` if `expected` is given and no longer the newest. */
    commit(next: Configuration, meta: ChangeMeta, expected?: number): Revision
    revisions(limit: number, before?: number): readonly Revision[]
    at(id: number): Configuration
  }
  readonly secrets: {
    /** With `change`, who did it is recorded in the same transaction; never the secret. */
    seal(owner: string, name: string, plain: string, change?: Acted): void
    open(owner: string, name: string): string | undefined
    remove(owner: string, name: string, change?: Acted): void
  }
  readonly directory: Directory
  /** Small administrative facts that live outside revisions. Each change leaves a row of its own. */
  readonly facts: {
    get(name: string): JsonValue | undefined
    set(name: string, value: JsonValue, meta: Acted): void
  }
  readonly objects: Objects
  readonly cache: { of(module: string, scope: string): ScopedCache }
  tables(module: string): Tables
  /** The module's program on a worker thread; throws if it has none. */
  worker(module: string): Worker
}
