/**
 * The door for model traffic: takes one request in, has the engine carry it through, and writes what it answers. Who asks
 * is known before the body is read, and everything that can be wrong with the bytes is answered here in the client's own
 * dialect and never reaches an upstream.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { asGatewayError } from '../core/deliver.ts'
import type { ClientSide, Dialect } from '../core/dialect.ts'
import { type EnginePorts, run } from '../core/engine.ts'
import { failure, type Refusal } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Gateway } from '../core/gateway.ts'
import { parseJsonObject } from '../wire/json.ts'
import { JsonArrayEnvelope } from '../wire/json-array.ts'
import { head, type Pinger, pinger, write, writeError } from './answer.ts'
import { Arrival } from './arrival.ts'
import { type Address, addressOf, ENDPOINTS, MODEL_PATHS, VERBS } from './endpoints.ts'
import type { Identity } from './identity.ts'
import { check, collect, wantJson } from './receive.ts'

export interface DataPlaneParts {
  readonly gateway: Gateway
  readonly identity: Identity
  readonly ports: EnginePorts
  readonly bodyLimitBytes: number
  /** Every exchange that is running, so that a stop can wait for them or end them. */
  readonly running: Map<AbortController, Exchange>
  nextId(): string
  readonly draining: () => boolean
  /** How long a client may take nothing of its answer. */
  readonly stallMs: number
}

export function dataPlane(app: FastifyInstance, parts: DataPlaneParts): void {
  const doorOf = (id: string): Door => {
    const dialect = parts.ports.dialects.get(id)
    if (!dialect?.client) throw new Error(`no client side for dialect ${id}`)
    return createDoor(parts, dialect)
  }
  app.register(async (plane) => {
    // The door reads bodies itself, when it knows whose they are.
    plane.removeAllContentTypeParsers()
    plane.addContentTypeParser('*', (_request, _payload, done) => done(null))
    for (const { path, dialect } of ENDPOINTS) {
      const door = doorOf(dialect)
      plane.post(path, (request, reply) => {
        reply.hijack()
        void door(request, reply)
      })
    }
    const doors = new Map(Object.entries(VERBS).map(([verb, { dialect }]) => [verb, doorOf(dialect)]))
    for (const { path, prefix } of MODEL_PATHS) {
      plane.post(path, (request, reply) => {
        const { '*': rest } = request.params as { '*': string }
        const { verb, address } = addressOf(prefix + rest, request.query as Record<string, unknown>)
        reply.hijack()
        void doors.get(verb)?.(request, reply, address)
      })
    }
  })
}

type Door = (request: FastifyRequest, reply: FastifyReply, address?: Address) => Promise<void>

function createDoor(parts: DataPlaneParts, dialect: Dialect): Door {
  const client = dialect.client as ClientSide
  const fields = Object.entries(client.fields)

  return async ({ raw: request }, { raw: out }, address) => {
    const snapshot = parts.gateway.snapshot
    const leave = snapshot.enter()
    const controller = new AbortController()
    const { signal } = controller
    // A stop waits until the last byte is handed over, not only written.
    out.once('close', () => {
      if (!out.writableFinished) controller.abort()
      parts.running.delete(controller)
    })
    const arrivedAt = parts.ports.now()
    const x = new Arrival({ id: parts.nextId(), arrivedAt, request, dialect, snapshot, signal })
    parts.running.set(controller, x)
    const envelope = address?.array ? new JsonArrayEnvelope() : undefined
    let ping: Pinger | undefined
    const whole = (body: Buffer): void => {
      const { json: sent, scan } = parseJsonObject(body)
      const json = address ? { ...sent, model: address.model, stream: address.stream } : sent
      check(json, fields, scan.duplicates)
      x.received(body, json, scan)
      if (!x.stream) return
      const type = envelope ? 'application/json' : client.streamType
      ping = pinger(out, envelope ? ' ' : client.ping, () => head(x, client, snapshot, undefined, type))
    }
    try {
      if (parts.draining()) throw failure('shutting_down')
      const identify = (doubt: Refusal | undefined) => parts.identity.identify(request, doubt)
      const receive = (): Promise<void> => {
        wantJson(request)
        return collect(request, parts.bodyLimitBytes, whole)
      }
      const answer = await run(x, { identify, receive }, snapshot, parts.ports)
      await write(out, x, client, snapshot, answer, parts.stallMs, ping, envelope)
    } catch (error) {
      writeError(out, client, asGatewayError(error, x), x.id, snapshot, ping, x, envelope)
    } finally {
      ping?.stop()
      leave()
    }
  }
}
