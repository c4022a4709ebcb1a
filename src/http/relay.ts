/** Requests that are only relayed, as they come in: which endpoint they mean, and what is read of their bodies. */
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Dialect } from '../core/dialect.ts'
import { badRequest, failure } from '../core/errors.ts'
import type { Deed, Endpoints, Method, Relay } from '../core/relay.ts'
import type { JsonValue } from '../core/request.ts'
import { parseJsonObject } from '../wire/json.ts'
import { formFields, formSizes, scanForm, spliceForm } from '../wire/multipart.ts'
import { COUNTERS, ENDPOINTS, verbOf } from './endpoints.ts'
import { estimateInput, type Received } from './receive.ts'
import { isForm, restOf, type UploadTerms } from './upload.ts'

export interface RelayAsked {
  readonly deed: Deed
  /** Behind the provider's endpoint, with its query. */
  readonly path: string
  readonly anywhere?: true
  /** The model, where the path names it. */
  readonly model?: string
}

/** Fields of forms that decide where a request goes and how it is answered. */
const DECIDING = ['model', 'stream', 'user', 'response_format']
/** What a token of sound or of a picture usually takes: files are heard and seen, not read. */
const FILE_BYTES_PER_TOKEN = 1_600

const NO_BODY = parseJsonObject(Buffer.from('{}'))

/** A path that means the same to everyone who reads it. */
export function checkPath(path: string): void {
  const isOdd = path
    .split('/')
    .some((segment, i, all) => /^(?:\.|%2e){1,2}$/i.test(segment) || (segment === '' && i > 0 && i < all.length - 1))
  if (isOdd || path.includes('\\') || /%(?:2f|5c|00|0a|0d)/i.test(path)) {
    throw badRequest('The path has segments that other servers may read as another path.')
  }
}

/** With `upload` the body is only the beginning of a form whose rest is still to be read. */
export function readRelayed(request: IncomingMessage, body: Buffer, asked: RelayAsked, upload?: UploadTerms): Received {
  const contentType = request.headers['content-type']
  const estimate = (bytes: number): number => (asked.deed.free ? 0 : estimateInput(bytes))
  const query = new URLSearchParams(asked.path.split('?')[1] ?? '')
  const relay: Relay = {
    method: request.method as Method,
    path: asked.path,
    deed: asked.deed,
    ...(asked.anywhere ? { anywhere: true } : {}),
    ...(asked.model === undefined ? {} : { model: asked.model }),
    ...(body.length === 0 || contentType === undefined ? {} : { contentType }),
  }
  const wantsStream = query.get('stream') === 'true'
  if (body.length === 0) {
    return { body, ...NO_BODY, stream: wantsStream, relay, inputEstimate: estimate(0) }
  }
  if (contentType === undefined) throw failure('unsupported_media_type', { sent: '', wanted: 'a body’s own type' })
  if (/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType)) {
    const { json, scan } = parseJsonObject(body)
    const stream = json.stream === true || json.stream_format === 'sse'
    return { body, json, scan, stream, relay: { ...relay, json: true }, inputEstimate: estimate(body.length) }
  }
  if (isForm(contentType)) {
    const form = scanForm(body, contentType, upload !== undefined)
    const rest = upload && restOf(request, body, form, { ...upload, early: [...DECIDING, ...upload.early] })
    const fields: Record<string, JsonValue> = formFields(body, form, DECIDING)
    const { text, file } = formSizes(form)
    return {
      body,
      json: fields,
      scan: NO_BODY.scan,
      stream: fields.stream === 'true',
      relay: { ...relay, rewrite: (edits) => spliceForm(body, form, edits), ...(rest ? { rest } : {}) },
      inputEstimate: asked.deed.free
        ? 0
        : estimate(text) + Math.ceil((file + (rest?.bytes ?? 0)) / FILE_BYTES_PER_TOKEN),
    }
  }
  if (!asked.anywhere) {
    const wanted = 'application/json or multipart/form-data'
    throw failure('unsupported_media_type', { sent: contentType.slice(0, 100), wanted })
  }
  return {
    body,
    json: NO_BODY.json,
    scan: NO_BODY.scan,
    stream: wantsStream,
    relay,
    inputEstimate: estimate(body.length),
  }
}

export const METHODS: readonly Method[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

type Take = (dialect: string, request: FastifyRequest, reply: FastifyReply, asked: RelayAsked) => void

/** Each family at its place under `/v1`; a path that something else serves already stays there. */
export function relayRoutes(app: FastifyInstance, dialects: ReadonlyMap<string, Dialect>, take: Take): void {
  const served = [...ENDPOINTS, ...COUNTERS].map(({ path }) => path.slice('/v1'.length))
  const owned = new Set([...served, ...[...dialects.values()].flatMap(({ endpoints }) => endpoints?.roots ?? [])])
  for (const { id, endpoints } of dialects.values()) {
    if (!endpoints || endpoints.native) continue
    const handle = (request: FastifyRequest, reply: FastifyReply): void => {
      const [path = '', query] = request.url.slice('/v1'.length).split('?', 2)
      checkPath(path)
      // A method of a model, or what has a route of its own and not for this method, is no object's name.
      const isElse = verbOf(request.url) !== undefined || (owned.has(path) && request.routeOptions.url?.endsWith('*'))
      if (isElse || path.endsWith('/') || request.headers.upgrade !== undefined) {
        reply.callNotFound()
        return
      }
      const deed = deedAt(endpoints, request.method as Method, path)
      const rest = path.slice(endpoints.under.length)
      take(id, request, reply, { deed, path: query === undefined ? rest : `${rest}?${query}` })
    }
    for (const root of endpoints.roots) {
      const free = (url: string, may: (method: Method) => boolean): void => {
        const method = METHODS.filter((m) => may(m) && !app.hasRoute({ method: m, url }))
        if (method.length > 0) app.route({ method, url, handler: handle })
      }
      free(`/v1${root}`, (method) => endpoints.deed(method, root) !== undefined)
      free(`/v1${root}/*`, () => true)
    }
  }
}

/** Throws where a family has nothing at this path, or not for this method. */
export function deedAt(endpoints: Endpoints, method: Method, path: string): Deed {
  const deed = endpoints.deed(method, path)
  if (deed) return deed
  const allowed = METHODS.filter((each) => endpoints.deed(each, path))
  const shown = `/v1${path.slice(0, 200)}`
  if (allowed.length === 0) throw failure('not_found', { what: `path ${shown}` })
  const headers = { allow: allowed.join(', ') }
  throw failure('method_not_allowed', { method, path: shown, allowed: allowed.join(' or '), headers })
}
