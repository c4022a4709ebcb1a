/**
 * An exchange as the door makes it: first only what the head of the request says, so that a stranger costs no more than
 * that; the rest with the body. A class, because every request makes one: all of them have one shape from the start.
 */
import type { IncomingMessage } from 'node:http'
import type { ClientSide, Dialect } from '../core/dialect.ts'
import type { Allowance, Attempt, Decision, Ended, Exchange, Plan, Principal } from '../core/exchange.ts'
import type { Names } from '../core/names.ts'
import type { OwnedObject } from '../core/objects.ts'
import type { Pipeline } from '../core/pipeline.ts'
import type { Prices } from '../core/prices.ts'
import { namedIn } from '../core/references.ts'
import type { Relay } from '../core/relay.ts'
import type { JsonObject, ModelRequest, Operation } from '../core/request.ts'
import type { Scopes } from '../core/scopes.ts'
import type { SealsOf } from '../core/seals.ts'
import type { Snapshot } from '../core/snapshot.ts'
import type { BodyScan } from '../core/wire.ts'
import type { Received } from './receive.ts'

const NOTHING = Buffer.alloc(0)

export interface ArrivalFacts {
  readonly id: string
  readonly arrivedAt: number
  readonly request: IncomingMessage
  readonly peer: string
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
  relay?: Relay
  refers?: readonly string[]
  mayRefer?: readonly string[]
  upstream?: string

  principal?: Principal
  owned?: readonly OwnedObject[]
  sealed?: SealsOf
  scopes?: Scopes
  pipeline?: Pipeline
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

  constructor({ id, arrivedAt, request, peer, dialect, snapshot, signal }: ArrivalFacts) {
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
    this.peer = peer
    this.signal = signal
    this.#client = dialect.client as ClientSide
  }

  /** The body is here and judged. */
  received({ body, json, scan, stream, inputEstimate, relay }: Received, upstream: string | undefined): void {
    const { outputLimit, references } = this.#client
    this.body = body
    this.json = json
    this.scan = scan
    this.model = modelOf(json.model ?? relay?.model, upstream)
    this.stream = stream
    this.outputLimit = outputLimit?.(json)
    this.inputEstimate = inputEstimate
    if (upstream !== undefined) this.upstream = upstream
    const named = references && namedIn(body, json, references)
    if (named) this.refers = named
    const perhaps = references?.perhaps?.(json)
    if (perhaps && perhaps.length > 0) this.mayRefer = perhaps
    if (!relay) return
    this.relay = relay
    const { names } = relay.deed
    if (names !== undefined) this.refers = [names, ...(named ?? [])]
  }

  request(): ModelRequest {
    this.#read ??= this.#client.readRequest(this.ownFields ? without(this.json, this.ownFields) : this.json)
    return this.#read
  }
}

const without = (json: JsonObject, names: readonly string[]): JsonObject =>
  Object.fromEntries(Object.entries(json).filter(([name]) => !names.includes(name)))
/** The name a client would ask for elsewhere: one that is addressed to an upstream means a model of that upstream. */
function modelOf(model: unknown, upstream: string | undefined): string {
  if (typeof model !== 'string') return ''
  return upstream === undefined || model === '' ? model : `${upstream}/${model}`
}
