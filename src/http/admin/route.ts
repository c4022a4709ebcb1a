/**
 * An administrative route as data: from it come the HTTP route, the checks of what is sent, and its place in the OpenAPI
 * description. A route of a module looks the same, but gets the module's host instead.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { TObject } from 'typebox'
import type { Session } from '../../core/directory.ts'
import type { Egress } from '../../core/egress.ts'
import type { Principal } from '../../core/exchange.ts'
import type { Gateway } from '../../core/gateway.ts'
import type { AdminCall, AdminRoute, Awaitable, Needs } from '../../core/module.ts'
import type { LedgerFact } from '../../core/store.ts'
import type { Price } from '../../core/usage.ts'
import type { Asked } from '../explain.ts'
import type { Identity } from '../identity.ts'
import type { Attempts } from './attempts.ts'
import type { SignIns } from './sign-in.ts'

/** What administrators may ask of the store beyond core's port; main hands it in. Money as decimal strings of dollars. */
export interface AdminStore {
  usage(question: UsageAsked): Promise<readonly { readonly chargeUsd: string }[]>
  /** In pages, in the order of time; none at the end. */
  rows(question: RowsAsked): Promise<readonly LedgerFact[]>
  unpriced(): Promise<readonly object[]>
  reprice(selection: RepriceAsked, price: Price, actor: string): Promise<object>
  backup(toDir: string): Promise<object>
  /** How many secrets were sealed anew; in a dry run, how many would be. */
  rotateMasterKey(key: string, dryRun: boolean): number
  health(): object
}
export interface LedgerSelection {
  readonly from: number
  readonly to: number
  readonly filters: Readonly<Record<string, string>>
}
export interface UsageAsked extends LedgerSelection {
  readonly groupBy: readonly string[]
}
export interface RowsAsked extends LedgerSelection {
  readonly after?: { readonly at: number; readonly seq: number }
}
export interface RepriceAsked {
  readonly from: number
  readonly to: number
  readonly upstream: string
  readonly upstreamModel: string
  /** Only calls of one organization, or with one key. */
  readonly filters?: Readonly<Partial<Record<'organization' | 'key', string>>>
  /** Leaves alone what had a price, or was corrected before. */
  readonly unpricedOnly: boolean
}

export interface AdminContext {
  readonly gateway: Gateway
  readonly identity: Identity
  readonly store: AdminStore
  readonly version: string
  readonly startedAt: number
  readonly egress: Egress
  readonly signIns: SignIns
  /** Failed ones, to sign in. */
  readonly attempts: Attempts
  /** Ends running exchanges of these callers; says how many. */
  cut(of: (principal: Principal) => boolean): number
  now(): number
  explain(asked: Asked): Promise<object>
  /** Throws why no exchange would be taken at the moment, if so. */
  ready(): void
  /** A new request id. */
  nextId(): string
}

export interface CoreCall extends AdminCall {
  /** Absent for the admin key itself. */
  readonly session?: Session
  readonly request: { readonly ip: string; readonly headers: IncomingHttpHeaders; readonly secure: boolean }
  /** Adds a header to the answer. */
  reply(name: string, value: string): void
  /** Sends the browser elsewhere. */
  redirect(url: string): void
  /** Show what would change, and change nothing. */
  readonly dry: boolean
  /** The revision the client last saw, from `If-Match`. */
  readonly expected: number | undefined
}

export interface CoreRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below `/api/`; a last `*` takes names with slashes. */
  readonly path: string
  readonly summary: string
  readonly query?: TObject
  readonly body?: TObject
  readonly answer: TObject
  readonly example: object
  readonly needs?: Needs
  /** See AdminRoute. */
  readonly told?: true
  /** The version in ETag and If-Match is that of the row, not of the configuration. */
  readonly row?: true
  handle(context: AdminContext, call: CoreCall): Awaitable<unknown>
}

/** Where a route is. */
export const urlOf = (route: CoreRoute | AdminRoute): string =>
  `${'root' in route && route.root ? '' : '/api'}/${route.path}`
