/**
 * For the tests of this folder: calls and small servers on 127.0.0.1, and certificates made on the spot, so that no key
 * is ever part of the project.
 */
import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import type dns from 'node:dns'
import http from 'node:http'
import net, { type AddressInfo, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { Egress, IncomingReply, OutgoingCall } from '../core/egress.ts'
import { GatewayError } from '../core/errors.ts'
import { TIMEOUTS } from '../core/exchange.ts'
import { createEgress, type EgressOptions } from './egress.ts'

export const callTo = (url: string, more: Partial<OutgoingCall> = {}): OutgoingCall => ({
  upstream: 'up',
  method: 'POST',
  url,
  headers: { 'content-type': 'application/json' },
  body: Buffer.from('{"model":"m"}'),
  streamed: false,
  timeouts: TIMEOUTS,
  signal: new AbortController().signal,
  ...more,
})

/** Closed when the test ends; proxies only where a test names them. */
export function egressFor(t: TestContext, options: EgressOptions = {}): Egress {
  const egress = createEgress({ environment: {}, ...options })
  t.after(() => egress.close())
  return egress
}

export async function failureOf(promise: Promise<unknown>): Promise<GatewayError> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error))
    return error
  }
  assert.fail('nothing failed')
}

export const text = async (reply: IncomingReply): Promise<string> => (await reply.collect(1_000_000)).toString()

/** A whole answer with the body `ok`. */
export const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** The start of a stream that goes on. */
export const CHUNKED = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n'

async function listening(t: TestContext, server: Server, scheme: string): Promise<string> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Gives the server's origin; the server ends with the test. */
export const serve = (t: TestContext, handler: http.RequestListener, options: http.ServerOptions = {}) =>
  listening(t, http.createServer(options, handler), 'http')

export const serveWith = (t: TestContext, server: Server, scheme = 'http') => listening(t, server, scheme)

/** One call of `answer` for each request that arrived whole (with a content-length), on any connection. */
export function serveRaw(t: TestContext, answer: (socket: Socket, nth: number, request: string) => void) {
  const server = net.createServer((socket) => {
    let text = ''
    let nth = 0
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      for (;;) {
        const head = text.indexOf('\r\n\r\n')
        if (head === -1) return
        const length = Number(/content-length: (\d+)/i.exec(text.slice(0, head))?.[1] ?? 0)
        if (text.length < head + 4 + length) return
        const request = text.slice(0, head + 4 + length)
        text = text.slice(head + 4 + length)
        answer(socket, ++nth, request)
      }
    })
  })
  return listening(t, server, 'http')
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** A resolver that answers with one address, or fails. */
export const resolving = (answer: (host: string) => string | NodeJS.ErrnoException): typeof dns.lookup =>
  ((host: string, _options: object, callback: (error: unknown, found?: object[]) => void) => {
    const found = answer(host)
    setImmediate(() => (typeof found === 'string' ? callback(null, [{ address: found, family: 4 }]) : callback(found)))
  }) as unknown as typeof dns.lookup

/** Milliseconds until the promise settled, either way. */
export async function settled(promise: Promise<unknown>): Promise<number> {
  const started = performance.now()
  await promise.catch(() => {})
  return performance.now() - started
}

export interface Certificate {
  readonly key: string
  readonly cert: string
}

/** A self-signed certificate for one DNS name, valid from and until so many days from now. */
export function certificate(name: string, fromDays = -1, untilDays = 10): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const tagged = (tag: number, ...parts: Buffer[]): Buffer => {
    const content = Buffer.concat(parts)
    const { length } = content
    const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
    return Buffer.concat([Buffer.from([tag, ...size]), content])
  }
  const sequence = (...parts: Buffer[]): Buffer => tagged(0x30, ...parts)
  const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
  const moment = (days: number): Buffer => {
    const text = new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]|\.\d+/g, '')
    return tagged(0x18, Buffer.from(text))
  }
  const algorithm = sequence(bytes('06082a8648ce3d040302'))
  const subject = sequence(tagged(0x31, sequence(bytes('0603550403'), tagged(0x0c, Buffer.from(name)))))
  const extensions = sequence(
    sequence(bytes('0603551d11'), tagged(0x04, sequence(tagged(0x82, Buffer.from(name))))),
    sequence(bytes('0603551d13'), bytes('0101ff'), tagged(0x04, sequence(bytes('0101ff')))),
  )
  const body = sequence(
    bytes('a003020102'),
    tagged(0x02, Buffer.from([1 + Math.floor(Math.random() * 126)])),
    algorithm,
    subject,
    sequence(moment(fromDays), moment(untilDays)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, extensions),
  )
  const signature = sign('sha256', body, createPrivateKey(key))
  const der = sequence(body, algorithm, tagged(0x03, Buffer.from([0]), signature))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return { key, cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n` }
}

/** For what follows by itself, however busy the machine is. */
export async function eventually(holds: () => boolean | Promise<boolean>, mostMs = 30_000): Promise<void> {
  const end = performance.now() + mostMs
  while (!(await holds())) {
    assert.ok(performance.now() < end, `not within ${mostMs} ms: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
