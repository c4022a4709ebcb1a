/**
 * One client request's whole life, from arrival to the last record, and the words for where it may go.
 * Core writes an exchange; modules read it and answer through their hooks.
 */
import type { Capabilities } from './catalog.ts'
import type { Permission } from './directory.ts'
import type { Way } from './egress.ts'
import type { GatewayError } from './errors.ts'
import type { NanoUsd } from './money.ts'
import type { Names } from './names.ts'
import type { OwnedObject } from './objects.ts'
import type { Pipeline } from './pipeline.ts'
import type { Prices } from './prices.ts'
import type { Provider } from './provider.ts'
import type { Relay } from './relay.ts'
import type { FinishReason } from './reply.ts'
import type { JsonObject, ModelRequest, Operation } from './request.ts'
import type { HealthCheck } from './routing/checks.ts'
import type { BreakerPolicy } from './routing/circuit.ts'
import type { KeyHealth, KeyLimits, TargetHealth } from './routing/health.ts'
import type { HedgePolicy } from './routing/hedge.ts'
import type { RouteRules } from './routing/rules.ts'
import type { Scopes } from './scopes.ts'
import type { SealsOf } from './seals.ts'
import type { Signer } from './signing.ts'
import type { PriceCap, Usage } from './usage.ts'
import type { BodyScan } from './wire.ts'

/** Who asks. Named by the credential, never by a header that a client may write. */
export interface Principal {
  readonly kind: 'local' | 'proxy' | 'key' | 'token'
  /** Stable and not secret: `local`, `proxy`, the key's public id, or `token:` and the subject of a signed token. */
  readonly id: string
  readonly organization?: string
  readonly team?: string
  readonly user?: string
  /** The owner of whatever this principal makes or keeps (cache entries, files): nobody else sees it. */
  readonly scope: string
  /** Sorted. */
  readonly tags?: readonly string[]
  /** What its own headers may loosen. */
  readonly permissions?: readonly Permission[]
  /** Which names it may ask for; absent: all. */
  mayAsk?(model: string): boolean
  /** Which upstreams may be called for it; absent: all. */
  mayCall?(upstream: string): boolean
}

/** What has to be seen of a request to tell who sent it. */
export interface Caller {
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The client's address; one that a forwarding proxy names only if that proxy is trusted. */
  readonly peer: string
  readonly path: string
  /** What is asked for; absent where anybody who is known may ask: the list of models. */
  readonly operation?: string
  readonly model?: string
  readonly trace: Decision[]
}

export interface Credential {
  readonly id: string
  readonly secret: string
  readonly weight: number
  readonly limits?: KeyLimits
  readonly health: KeyHealth
}

/** A configured account at a provider, as a snapshot holds it. */
export interface Upstream {
  readonly id: string
  readonly provider: Provider
  /** Without a trailing slash. */
  readonly baseUrl: string
  readonly credentials: readonly Credential[]
  /** Only at vendors whose calls need more than a key in a header. */
  readonly signer?: Signer
  readonly headers: Readonly<Record<string, string>>
  readonly options: JsonObject
  /** Model names it is limited to; absent: whatever it takes. */
  readonly models?: readonly string[]
  readonly callerKeys: boolean
  /** What a caller's own key is used for here is paid elsewhere, and booked at no cost. */
  readonly callerPays?: true
  /** Link-local and metadata addresses that an administrator allowed by name. */
  readonly allowHosts?: readonly string[]
  readonly way?: Way
  readonly healthCheck?: HealthCheck
  readonly owner: 'environment' | 'database' | 'file' | 'built-in'
}

/** Milliseconds; each names itself in the error when it fires. */
export interface Timeouts {
  readonly connectMs: number
  /** First header byte of a streamed reply, and of an unstreamed one. */
  readonly headersStreamedMs: number
  readonly headersUnstreamedMs: number
  readonly firstContentMs: number
  readonly idleMs: number
  readonly totalMs: number
}
export const TIMEOUTS: Timeouts = {
  connectMs: 5_000,
  headersStreamedMs: 60_000,
  headersUnstreamedMs: 600_000,
  firstContentMs: 300_000,
  idleMs: 300_000,
  totalMs: 3_600_000,
}

/** Why the targets before it could not serve: too long, refused as content, or anything else. */
export type FallbackReason = 'context-window' | 'content-policy' | 'general'

/** One candidate. */
export interface Target {
  readonly upstream: Upstream
  /** The model's name there. */
  readonly model: string
  readonly weight: number
  readonly health: TargetHealth
  /** Those with a higher number are only for when all with a lower one have failed; absent: 0. */
  readonly order?: number
  readonly tags?: readonly string[]
  /** Where it differs from the plan's. */
  readonly timeouts?: Timeouts
  /** What this target can do, where it is known better than by the catalog. */
  readonly capabilities?: Capabilities
  /** Dollars per million tokens above which it is not called. */
  readonly maxPrice?: PriceCap
  /** Only asked when the targets without this have failed for that reason. */
  readonly fallback?: FallbackReason
  /** The caller's own key pays for calls to it, and here they cost nothing. */
  readonly paidByCaller?: true
  /** May go on with an answer that another target left unfinished. */
  readonly continues?: boolean
  /** Top-level body fields: set if absent, and set whatever the client said. Named in the client's dialect. */
  readonly defaults?: JsonObject
  readonly overrides?: JsonObject
}

export interface RetryPolicy {
  /** Calls in all, over all targets. */
  readonly attempts: number
  /** Calls to one target before the next is tried. */
  readonly attemptsPerTarget: number
  readonly firstBackoffMs: number
  readonly maxBackoffMs: number
  /** A `Retry-After` up to this is waited for; a longer one sends the exchange elsewhere. */
  readonly maxRetryAfterMs: number
  /** No new attempt starts later than this after arrival. */
  readonly totalMs: number
}
export const ONE_ATTEMPT: RetryPolicy = {
  attempts: 1,
  attemptsPerTarget: 1,
  firstBackoffMs: 0,
  maxBackoffMs: 0,
  maxRetryAfterMs: 0,
  totalMs: 3_600_000,
}

/** The ordered choice for this exchange. `via` says which rule found it. */
export interface Plan {
  readonly via: 'route' | 'alias' | 'upstream' | 'catalog' | 'none'
  readonly targets: readonly Target[]
  readonly retry: RetryPolicy
  readonly timeouts: Timeouts
  readonly unsupported: 'reject' | 'drop'
  /** How the route chooses for one exchange; absent: the targets in the order in which they stand. */
  readonly rules?: RouteRules
  readonly breaker?: BreakerPolicy
  readonly hedge?: HedgePolicy
}

export type AttemptOutcome = 'done' | 'failed' | 'client_cancel' | 'cancelled' | 'partial' | 'in-doubt'

/** One call to one target, as it is booked. */
export interface Attempt {
  /** Unique for ever; the ledger's two rows share it. */
  readonly id: number
  readonly number: number
  readonly target: Target
  readonly credential: string | undefined
  /** How the key that was used is doing; absent: none, or the caller's own. */
  readonly key?: KeyHealth
  /** What it is known by to the circuits that let it through: only the call that is their probe may close them. */
  readonly seat: object
  /** Milliseconds since 1970. */
  readonly startedAt: number
  held: NanoUsd
  /** It is in the ledger, and may have been sent. One that a module stopped before that is in no books. */
  opened?: true
  status?: number
  outcome?: AttemptOutcome
  error?: GatewayError
  usage?: Usage
  cost?: NanoUsd
  finish?: FinishReason
  /** The model the upstream says it served. */
  servedModel?: string
  upstreamRequestId?: string
  headersMs?: number
  firstContentMs?: number
  totalMs?: number
}

/** One line of the decision trace: what was decided where, why, and what it cost. */
export interface Decision {
  readonly phase: string
  readonly module: string
  readonly decision: string
  readonly reason?: string
  readonly microseconds?: number
  /** Only observed: this is what would have happened. */
  readonly observed?: true
}

export type Outcome = 'done' | 'refused' | 'failed' | 'client_cancel' | 'partial'

export interface Exchange extends Caller {
  readonly id: string
  /** Milliseconds since 1970. */
  readonly arrivedAt: number
  /** performance.now() at arrival, for durations. */
  readonly started: number
  readonly revision: number
  /** The names and prices of the snapshot it runs under. */
  readonly names: Names
  readonly prices: Prices
  readonly operation: Operation
  /** The client's dialect. */
  readonly dialect: string
  /** The public name that was asked for; empty where no model is called. */
  readonly model: string
  readonly stream: boolean
  /** The output limit that the client set, in tokens. */
  readonly outputLimit: number | undefined
  readonly body: Buffer
  /** Where the body's top-level fields stand, for edits that leave all other bytes alone. */
  readonly scan: BodyScan
  /** The parsed body, with `model` and `stream` where the client's dialect has them in the path. Its objects came from JSON.parse: `__proto__` is data in it, not a prototype. */
  readonly json: JsonObject
  /** Aborted when the client leaves, the gateway stops, or an administrator ends it. */
  readonly signal: AbortSignal
  /** Only relayed, and how. */
  readonly relay?: Relay
  /** Objects that the request names by id: all of them must be the caller's. */
  readonly refers?: readonly string[]
  /** Those that may be nobody's, too: of an answer that nobody here kept. */
  readonly mayRefer?: readonly string[]
  /** A module asks it inside another exchange. */
  readonly inner?: { readonly of: string; readonly by: string }
  /** The upstream that it was addressed to by its path: no other may take it. */
  readonly upstream?: string
  /** The request in the gateway's own form, read on first use. Throws `invalid_request`. */
  request(): ModelRequest

  principal?: Principal
  /** Those of `refers`, known to be the caller's. */
  owned?: readonly OwnedObject[]
  /** What it brings that only the account that made it can read. */
  sealed?: SealsOf
  /** Filled by `scopesOf`. */
  scopes?: Scopes
  /** What it runs through, where that is not the same for everybody. */
  pipeline?: Pipeline
  plan?: Plan
  /** The request after all `transform` hooks, if any changed it. */
  transformed?: ModelRequest
  readonly attempts: Attempt[]
  /** What no target's dialect could carry. */
  readonly unsupported: Set<string>
  /** The conversation it belongs to, where its route keeps conversations at one target. */
  affinity?: { readonly name: string; readonly ttlMs: number }
  /** Top-level fields of the body that were meant for the gateway, and go to no upstream. */
  ownFields?: readonly string[]
  /** On the clock of performance.now(): when the client, or its route, no longer waits. */
  deadline?: number
  /** Headers that modules add to the answer, whatever it is; names in lower case. */
  answerHeaders?: Record<string, string>
  /** How much of its limits is left, for the headers that clients of its dialect read. */
  allowance?: Allowance
  /** Cache verdict for the header, set by the module that keeps replies. */
  cache?: 'hit' | 'miss' | 'bypass'
  /** Seconds since the kept reply was stored. */
  cacheAgeSeconds?: number
  /** How many bytes of the answer a books module wants to keep; core keeps them in `replyBody`. */
  keepReplyBytes: number
  replyBody: Buffer[]
  /** Estimated input tokens, from the size of the body. */
  readonly inputEstimate: number
  /** Set once, when everything is over. */
  ended?: Ended
}

/** What is left of the tightest limit of each kind. */
export interface Allowance {
  readonly requests?: Left
  readonly tokens?: Left
  readonly inputTokens?: Left
  readonly outputTokens?: Left
}
export interface Left {
  readonly limit: number
  readonly remaining: number
  /** Until all of it is there again. */
  readonly resetMs: number
}

export interface Ended {
  readonly outcome: Outcome
  readonly status: number
  readonly error?: GatewayError
  /** Over all attempts. */
  readonly usage: Usage
  readonly cost: NanoUsd
  /** An attempt without a price: the cost says nothing. */
  readonly unpriced: boolean
  readonly totalMs: number
  readonly firstContentMs?: number
  /** What the gateway itself took: total less the time spent waiting for upstreams. */
  readonly overheadMs: number
}
