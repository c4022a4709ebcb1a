import assert from 'node:assert/strict'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
import { TIMEOUTS } from '../core/exchange.ts'
import {
  type Certificate,
  callTo,
  certificate,
  egressFor,
  failureOf,
  resolving,
  serveWith,
  settled,
  text,
} from './loopback.ts'

const secure = ({ key, cert }: Certificate, options: https.ServerOptions = {}) =>
  https.createServer({ key, cert, ...options }, (_request, response) => void response.end('ok'))

const GOOD = certificate('api.example')

test('T50: certificates that are self-signed, expired, not valid yet or for another name are refused', async (t) => {
  const cases: readonly (readonly [Certificate, trusted: boolean, RegExp])[] = [
    [GOOD, false, /self-signed/],
    [certificate('api.example', -10, -1), true, /has expired/],
    [certificate('api.example', 1, 10), true, /not valid yet/],
    [certificate('other.example'), true, /for another name/],
  ]
  for (const [own, trusted, message] of cases) {
    const { port } = new URL(await serveWith(t, secure(own)))
    const egress = egressFor(t, { resolve: resolving(() => '127.0.0.1'), ...(trusted ? { ca: own.cert } : {}) })
    const error = await failureOf(egress.send(callTo(`https://api.example:${port}/`)))
    assert.equal(error.code, 'upstream_unreachable')
    assert.match(error.message, message)
  }
})

test('T49: a name that fails is told at once and is asked again; one that flaps goes where it points now; a slow one is bounded', async (t) => {
  const served = { a: 0, b: 0 }
  const serverOf = (name: 'a' | 'b') =>
    http.createServer((_request, response) => {
      served[name]++
      response.writeHead(200, { connection: 'close' })
      response.end('ok')
    })
  const url = await serveWith(t, serverOf('a'))
  const port = new URL(url).port
  let answer: string | NodeJS.ErrnoException = Object.assign(new Error('not found'), { code: 'ENOTFOUND' })
  let asked = 0
  const egress = egressFor(t, {
    resolve: resolving(() => {
      asked++
      return answer
    }),
  })
  const call = () => egress.send(callTo(`http://flaps.example:${port}/v1`))
  for (let i = 0; i < 3; i++) {
    const failed = call()
    assert.equal((await failureOf(failed)).code, 'upstream_unreachable')
    assert.ok((await settled(failed)) < 1_000)
  }
  answer = '127.0.0.1'
  assert.equal(await text(await call()), 'ok', 'nothing bad is remembered')
  answer = '127.0.0.2'
  assert.equal((await failureOf(call())).code, 'upstream_unreachable', 'it goes where the name points now')
  answer = '127.0.0.1'
  assert.equal(await text(await call()), 'ok')
  assert.ok(asked >= 6)
  const silent = egressFor(t, { resolve: (() => {}) as never })
  const late = silent.send(callTo(`http://slow.example:${port}/v1`, { timeouts: { ...TIMEOUTS, connectMs: 300 } }))
  assert.equal((await failureOf(late)).code, 'upstream_timeout')
})

test('T50: no environment variable switches verification off', async (t) => {
  const { port } = new URL(await serveWith(t, secure(GOOD)))
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  t.after(() => {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before
  })
  const egress = egressFor(t, { resolve: resolving(() => '127.0.0.1') })
  assert.match((await failureOf(egress.send(callTo(`https://api.example:${port}/`)))).message, /self-signed/)
})

test('T50: TLS older than 1.2 is refused', async (t) => {
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  const { port } = new URL(await serveWith(t, secure(GOOD, old)))
  const egress = egressFor(t, { resolve: resolving(() => '127.0.0.1'), ca: GOOD.cert })
  const error = await failureOf(egress.send(callTo(`https://api.example:${port}/`)))
  assert.equal(error.code, 'upstream_unreachable')
  assert.match(error.message, /connection to api\.example:\d+ failed \(ERR_SSL/)
})

test('a server that does not speak TLS is refused quickly', async (t) => {
  const server = net.createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const { port } = new URL(await serveWith(t, server))
  const sent = egressFor(t).send(callTo(`https://127.0.0.1:${port}/`))
  const ms = settled(sent)
  assert.equal((await failureOf(sent)).code, 'upstream_unreachable')
  assert.ok((await ms) < 15_000)
})

test('A104: a further authority is trusted, besides those of Node; HTTP/1.1 is what is spoken', async (t) => {
  const server = secure(GOOD, { ALPNProtocols: ['h2', 'http/1.1'] })
  const spoken: unknown[] = []
  server.on('secureConnection', (socket: tls.TLSSocket) => spoken.push(socket.alpnProtocol, socket.getProtocol()))
  const { port } = new URL(await serveWith(t, server))
  const egress = egressFor(t, { resolve: resolving(() => '127.0.0.1'), ca: [GOOD.cert] })
  assert.equal(await text(await egress.send(callTo(`https://api.example:${port}/`))), 'ok')
  assert.deepEqual(spoken, ['http/1.1', 'TLSv1.3'])
  assert.ok(tls.getCACertificates('default').length > 100)
})
