/**
 * Takes in the body of a request, once its caller is known: bounded by what really arrives, then judged. Whatever is
 * wrong with it ends here and never reaches an upstream.
 */
import type { IncomingMessage } from 'node:http'
import type { FieldType } from '../core/dialect.ts'
import { badRequest, failure } from '../core/errors.ts'
import { isPromise } from '../core/faults.ts'
import type { Awaitable } from '../core/module.ts'
import type { Relay } from '../core/relay.ts'
import type { JsonObject } from '../core/request.ts'
import type { BodyScan } from '../core/wire.ts'
import { type ParsedBody, parseJsonObject, parseJsonObjectInSteps } from '../wire/json.ts'
import type { Address } from './endpoints.ts'

/** A body, read as far as the gateway reads it. */
export interface Received {
  readonly body: Buffer
  readonly json: JsonObject
  readonly scan: BodyScan & { readonly duplicates: readonly string[] }
  readonly stream: boolean
  /** In tokens. */
  readonly inputEstimate: number
  readonly relay?: Relay
}

/** A body from here on is put together while it comes, and judged in steps. */
const LARGE = 1024 * 1024
const BYTES_PER_TOKEN = 4
export const estimateInput = (bytes: number): number => Math.max(1, Math.ceil(bytes / BYTES_PER_TOKEN))

export const readJson = (body: Buffer, address: Address | undefined): Received =>
  asReceived(body, parseJsonObject(body), address)

/** The same; a large body is judged in steps, so that others have their turn. */
export const readJsonFairly = (body: Buffer, address: Address | undefined): Awaitable<Received> =>
  body.length < LARGE
    ? readJson(body, address)
    : parseJsonObjectInSteps(body).then((parsed) => asReceived(body, parsed, address))

function asReceived(body: Buffer, { json: sent, scan }: ParsedBody, address: Address | undefined): Received {
  const json = address ? { ...sent, model: address.model, stream: address.stream } : sent
  return { body, json, scan, stream: json.stream === true, inputEstimate: estimateInput(body.length) }
}

export function wantJson(request: IncomingMessage): void {
  const type = request.headers['content-type'] ?? ''
  if (!/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type)) {
    throw failure('unsupported_media_type', { sent: type.slice(0, 100), wanted: 'application/json' })
  }
}

/** Where a body above the limit need not be taken in whole. */
export interface Onward {
  /** In bytes, of the whole body. */
  readonly limit: number
  /** Gets what has come so far; the rest is read from the request. Throws what is wrong with it. */
  take(head: Buffer): void
}
/** Of a body that goes on as it comes, this much is awaited first: texts that say where it goes stand there. */
const HEAD = 256 * 1024

/**
 * Hands over the whole body. Rejects with `request_too_large` as soon as that is certain, and with what `whole` throws.
 * A large body of a known length is copied into its place piece by piece: all at once would hold up others.
 */
export function collect(
  request: IncomingMessage,
  limit: number,
  whole: (body: Buffer) => Awaitable<void>,
  onward?: Onward,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // What came is let go of, and so is the rest: an end that is still to come must not be taken for that of a good body.
  const tooLarge = (): void => {
    request.off('data', take)
    request.off('end', ended)
    pieces.length = 0
    place = undefined
    reject(failure('request_too_large', { limit: onward?.limit ?? limit }))
  }
  const goesOn = ({ take: takeHead }: Onward): void => {
    request.off('data', take)
    request.off('end', ended)
    request.pause()
    try {
      takeHead(place ? place.subarray(0, bytes) : Buffer.concat(pieces, bytes))
      resolve()
    } catch (error) {
      reject(error)
    }
  }
  const ended = (): void => {
    try {
      const body = place ?? (pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces, bytes))
      const judged = whole(body)
      if (isPromise(judged)) judged.then(resolve, reject)
      else resolve()
    } catch (error) {
      reject(error)
    }
  }
  const pieces: Buffer[] = []
  let bytes = 0
  /** Only when much has come already: a length alone costs its sender nothing. */
  let place: Buffer | undefined
  const take = (piece: Buffer): void => {
    if (place) piece.copy(place, bytes)
    else pieces.push(piece)
    bytes += piece.length
    if (onward && (length > limit ? bytes >= Math.min(HEAD, limit) : bytes > limit)) goesOn(onward)
    else if (bytes > limit) tooLarge()
    else if (!place && bytes >= LARGE && length > bytes) {
      place = Buffer.allocUnsafeSlow(length)
      let at = 0
      for (const each of pieces) at += each.copy(place, at)
      pieces.length = 0
    }
  }
  const length = Number(request.headers['content-length'] ?? 0)
  if (length > (onward?.limit ?? limit)) tooLarge()
  else {
    request.on('data', take)
    request.on('end', ended)
    const left = (): void => {
      if (!request.complete) reject(failure('client_closed'))
    }
    request.on('error', left)
    request.on('close', left)
  }
  return promise
}

/** The fields that we read have the types that the dialect says, and stand once. */
export function check(
  { json, scan: { duplicates }, relay }: Received,
  fields: readonly (readonly [string, FieldType])[],
): void {
  for (const [name, type] of fields) {
    if (duplicates.includes(name)) throw badRequest(`"${name}" stands more than once in the request body.`, name)
    const value = Object.hasOwn(json, name) ? json[name] : undefined
    if (value === undefined || value === null) continue
    // A form knows texts only.
    if (relay?.rewrite) continue
    const is = Array.isArray(value) ? 'array' : typeof value
    const fits =
      type === 'integer'
        ? Number.isInteger(value)
        : type === 'string|array'
          ? is === 'string' || is === 'array'
          : is === type
    if (!fits)
      throw badRequest(
        `"${name}" must be ${type === 'string|array' ? 'a string or an array' : `of type ${type}`}, not ${is}.`,
        name,
      )
  }
  const { model } = json
  if (relay && (model === undefined || model === null)) return
  if (typeof model !== 'string' || model.length === 0) throw badRequest('"model" must name a model.', 'model')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused (T57)
  if (/[\u0000-\u001f\u007f]/.test(model)) throw badRequest('"model" contains control characters.', 'model')
}
