import assert from 'node:assert/strict'
import https from 'node:https'
import net from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
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
  assert.ok((await ms) < 1_000)
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
