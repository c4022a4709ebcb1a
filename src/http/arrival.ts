/**
 * An exchange as the door makes it: first only what the head of the request says, so that a stranger costs no more than
 * that; the rest with the body. A class, because every request makes one: all of them have one shape from the start.
 */
import type { IncomingMessage } from 'node:http'
import type { ClientSide, Dialect } from '../core/dialect.ts'
import type { Allowance, Attempt, Decision, Ended, Exchange, Plan, Principal } from '../core/exchange.ts'
import type { Names } from '../core/names.ts'
import type { OwnedObject } from '../core/objects.ts'
import type { Prices } from '../core/prices.ts'
import type { JsonObject, ModelRequest, Operation } from '../core/request.ts'
import type { Scopes } from '../core/scopes.ts'
import type { Snapshot } from '../core/snapshot.ts'
import type { BodyScan } from '../core/wire.ts'

const NOTHING = Buffer.alloc(0)

export interface ArrivalFacts {
  readonly id: string
  readonly arrivedAt: number
  readonly request: IncomingMessage
  readonly dialect: Dialect
  readonly snapshot: Snapshot
  readonly signal: AbortSignal
}

export class Arrival implements Exchange {
  readonly id: string
  readonly arrivedAt: number
  readonly started = performance.now()
  readonly revision: number
  readonly names: Names
  readonly prices: Prices
  readonly operation: Operation
  readonly dialect: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly peer: string
  readonly signal: AbortSignal
  readonly attempts: Attempt[] = []
  readonly trace: Decision[] = []
  readonly unsupported = new Set<string>()

  model = ''
  stream = false
  outputLimit: number | undefined
  body: Buffer = NOTHING
  scan: BodyScan = NOTHING
  json: JsonObject = {}
  inputEstimate = 0
  refers?: readonly string[]
  upstream?: string

  principal?: Principal
  owned?: readonly OwnedObject[]
  scopes?: Scopes
  plan?: Plan
  affinity?: { readonly name: string; readonly ttlMs: number }
  ownFields?: readonly string[]
  deadline?: number
  transformed?: ModelRequest
  answerHeaders?: Record<string, string>
  allowance?: Allowance
  cache?: 'hit' | 'miss' | 'bypass'
  cacheAgeSeconds?: number
  keepReplyBytes = 0
  replyBody: Buffer[] = []
  ended?: Ended

  readonly #client: ClientSide
  #read: ModelRequest | undefined

  constructor({ id, arrivedAt, request, dialect, snapshot, signal }: ArrivalFacts) {
    const url = request.url ?? '/'
    const query = url.indexOf('?')
    this.id = id
    this.arrivedAt = arrivedAt
    this.revision = snapshot.revision
    this.names = snapshot.names
    this.prices = snapshot.prices
    this.operation = dialect.operation
    this.dialect = dialect.id
    this.path = query < 0 ? url : url.slice(0, query)
    // Only set-cookie may be a list, and nobody sends that.
    this.headers = request.headers as Readonly<Record<string, string | undefined>>
    this.peer = request.socket.remoteAddress ?? ''
    this.signal = signal
    this.#client = dialect.client as ClientSide
  }

  /** The body is here and judged. */
  received(body: Buffer, json: JsonObject, scan: BodyScan): void {
    this.body = body
    this.json = json
    this.scan = scan
    this.model = json.model as string
    this.stream = json.stream === true
    this.outputLimit = this.#client.outputLimit?.(json)
    this.inputEstimate = Math.max(1, Math.ceil(body.length / 4))
  }

  request(): ModelRequest {
    this.#read ??= this.#client.readRequest(this.ownFields ? without(this.json, this.ownFields) : this.json)
    return this.#read
  }
}

const without = (json: JsonObject, names: readonly string[]): JsonObject =>
  Object.fromEntries(Object.entries(json).filter(([name]) => !names.includes(name)))
