/**
 * The door for model traffic: takes one request in, has the engine carry it through, and writes what it answers. Who asks
 * is known before the body is read, and everything that can be wrong with the bytes is answered here in the client's own
 * dialect and never reaches an upstream.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { countFor } from '../core/counting.ts'
import { asGatewayError } from '../core/deliver.ts'
import type { ClientSide, Dialect } from '../core/dialect.ts'
import { type EnginePorts, run } from '../core/engine.ts'
import { failure, type Refusal } from '../core/errors.ts'
import { isPromise } from '../core/faults.ts'
import type { Gateway } from '../core/gateway.ts'
import type { Awaitable } from '../core/module.ts'
import type { RunningExchange, Underway } from '../core/underway.ts'
import { parseJsonObject } from '../wire/json.ts'
import { JsonArrayEnvelope } from '../wire/json-array.ts'
import { head, type Pinger, pinger, write, writeError, writeJson } from './answer.ts'
import { Arrival } from './arrival.ts'
import { type Address, addressOf, COUNTERS, type Counting, ENDPOINTS, MODEL_PATHS, VERBS } from './endpoints.ts'
import type { Identity } from './identity.ts'
import { nativeRoutes } from './native.ts'
import { codingOf, unpacked } from './packed.ts'
import { check, collect, type Onward, type Received, readJsonFairly, wantJson } from './receive.ts'
import { type RelayAsked, readRelayed, relayRoutes } from './relay.ts'
import { isForm } from './upload.ts'

export interface DataPlaneParts {
  readonly gateway: Gateway
  readonly identity: Identity
  readonly ports: EnginePorts
  readonly bodyLimitBytes: number
  /** Of forms that are relayed while they come. */
  readonly uploadLimitBytes: number
  /** Every exchange that is running, so that a stop can wait for them or end them. */
  readonly running: Underway<RunningExchange>
  nextId(): string
  readonly draining: () => boolean
  /** How long a client may take nothing of its answer. */
  readonly stallMs: number
  readonly pingMs: number
}

export function dataPlane(app: FastifyInstance, parts: DataPlaneParts): void {
  const doors = new Map<string, Door>()
  const doorOf = (id: string): Door => {
    const known = doors.get(id)
    if (known) return known
    const dialect = parts.ports.dialects.get(id)
    if (!dialect?.client) throw new Error(`no client side for dialect ${id}`)
    const door = createDoor(parts, dialect)
    doors.set(id, door)
    return door
  }
  shortcut(app, doorOf)
  app.register(async (plane) => {
    // The door reads bodies itself, when it knows whose they are.
    plane.removeAllContentTypeParsers()
    plane.addContentTypeParser('*', (_request, _payload, done) => done(null))
    for (const { path, dialect } of ENDPOINTS) {
      const door = doorOf(dialect)
      plane.post(path, ({ raw }, reply) => {
        reply.hijack()
        void door(raw, reply.raw)
      })
    }
    for (const { path, prefix } of MODEL_PATHS) {
      plane.post(path, (request, reply) => {
        const { '*': rest } = request.params as { '*': string }
        if (!rest.includes(':')) {
          reply.callNotFound()
          return
        }
        const { verb, address } = addressOf(prefix + rest, request.query as Record<string, unknown>)
        const { dialect, counting } = VERBS[verb] as (typeof VERBS)[string]
        reply.hijack()
        void doorOf(dialect)(request.raw, reply.raw, counting ? { address, counting } : { address })
      })
    }
    for (const { path, dialect, counting } of COUNTERS) {
      const door = doorOf(dialect)
      plane.post(path, ({ raw }, reply) => {
        reply.hijack()
        void door(raw, reply.raw, { counting })
      })
    }
    relayRoutes(plane, parts.ports.dialects, (dialect, request, reply, relay) => {
      reply.hijack()
      void doorOf(dialect)(request.raw, reply.raw, { relay })
    })
    nativeRoutes(plane, parts.gateway, parts.ports.dialects, ({ dialect, ...asked }, request, reply) => {
      reply.hijack()
      void doorOf(dialect)(request.raw, reply.raw, asked)
    })
  })
}

/**
 * The paths that most requests come by, spelled as everybody spells them, go straight to their doors: the router would
 * find the same ones. Every other spelling is the router's to judge.
 */
function shortcut(app: FastifyInstance, doorOf: (dialect: string) => Door): void {
  const doors = new Map<string | undefined, Door>(ENDPOINTS.map(({ path, dialect }) => [path, doorOf(dialect)]))
  const routed = app.server.listeners('request') as ((request: IncomingMessage, out: ServerResponse) => void)[]
  app.server.removeAllListeners('request')
  app.server.on('request', (request: IncomingMessage, out: ServerResponse) => {
    const door = request.method === 'POST' ? doors.get(request.url) : undefined
    if (door) void door(request, out)
    else for (const listener of routed) listener.call(app.server, request, out)
  })
}

/** What the path says, where the body does not say all. */
interface Asked {
  readonly address?: Address
  readonly relay?: RelayAsked
  /** The upstream that the request is addressed to. */
  readonly upstream?: string
  /** Nothing is to be called: only the input is counted. */
  readonly counting?: Counting
  /** The dialect in whose shape errors are, where it is another. */
  readonly shape?: string
}
type Door = (request: IncomingMessage, out: ServerResponse, asked?: Asked) => Promise<void>

const NOTHING: Asked = {}

/** The bytes of the request whose input is to be counted. */
function meant(body: Buffer, { asked }: Counting): Buffer {
  const { json } = parseJsonObject(body)
  const inner = asked(json)
  return inner === json ? body : Buffer.from(JSON.stringify(inner))
}

function createDoor(parts: DataPlaneParts, dialect: Dialect): Door {
  const client = dialect.client as ClientSide
  const fields = Object.entries(client.fields)

  return async (request, out, asked = NOTHING) => {
    const { address, relay, upstream, counting, shape } = asked
    const snapshot = parts.gateway.snapshot
    const leave = snapshot.enter()
    const controller = new AbortController()
    const { signal } = controller
    const arrivedAt = parts.ports.now()
    const peer = parts.identity.peerOf(request)
    const x = new Arrival({ id: parts.nextId(), arrivedAt, request, peer, dialect, snapshot, signal })
    const running = { x, controller, place: -1 }
    parts.running.add(running)
    // A stop waits until the last byte is handed over, not only written, and all of it is booked.
    let unfinished = 2
    const over = (): void => {
      if (--unfinished === 0) parts.running.delete(running)
    }
    out.once('close', () => {
      if (!out.writableFinished) controller.abort()
      over()
    })
    const envelope = address?.array ? new JsonArrayEnvelope() : undefined
    let ping: Pinger | undefined
    const whole = (body: Buffer): Awaitable<void> => {
      const received = relay
        ? readRelayed(request, body, relay)
        : readJsonFairly(counting ? meant(body, counting) : body, address)
      return isPromise(received) ? received.then(read) : read(received)
    }
    /** A module that reads requests has to have them whole. */
    const uploadOf = (asked: RelayAsked): Onward | undefined => {
      if (!isForm(request.headers['content-type'])) return undefined
      if ((x.pipeline ?? snapshot.pipeline).transform.length > 0) return undefined
      const terms = { limit: parts.uploadLimitBytes, stallMs: parts.stallMs, early: client.references?.fields ?? [] }
      const take = (beginning: Buffer): void => {
        // What the client has left to send when the answer is there is read by nobody.
        out.shouldKeepAlive = false
        out.once('close', () => request.destroy())
        read(readRelayed(request, beginning, asked, terms))
      }
      return { limit: terms.limit, take }
    }
    const read = (received: Received): void => {
      check(received, fields)
      x.received(received, upstream)
      if (!x.stream || relay || counting) return
      const type = envelope ? 'application/json' : client.streamType
      ping = pinger(out, parts.pingMs, envelope ? ' ' : client.ping, () => head(x, client, snapshot, undefined, type))
    }
    try {
      if (parts.draining()) throw failure('shutting_down')
      const identify = (doubt: Refusal | undefined) => parts.identity.identify(request, doubt)
      const receive = (): Promise<void> => {
        if (!relay) wantJson(request)
        const { bodyLimitBytes: limit } = parts
        const coding = codingOf(request.headers)
        if (coding === undefined) return collect(request, limit, whole, relay && uploadOf(relay))
        return collect(request, limit, (body) => unpacked(body, coding, limit).then(whole))
      }
      if (counting) {
        const { tokens } = await countFor(x, { identify, receive }, snapshot, parts.ports)
        writeJson(out, head(x, client, snapshot, undefined, 'application/json'), counting.answer(tokens))
        return
      }
      const answer = await run(x, { identify, receive }, snapshot, parts.ports)
      await write(out, x, client, snapshot, answer, parts.stallMs, ping, envelope)
    } catch (error) {
      const teller = shape === undefined ? client : (parts.ports.dialects.get(shape)?.client ?? client)
      writeError(out, teller, asGatewayError(error, x), x.id, snapshot, ping, x, envelope)
    } finally {
      ping?.stop()
      leave()
      over()
    }
  }
}
