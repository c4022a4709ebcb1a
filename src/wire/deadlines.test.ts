import assert from 'node:assert/strict'
import type dns from 'node:dns'
import net, { type Socket } from 'node:net'
import { test } from 'node:test'
import type { OutgoingCall } from '../core/egress.ts'
import { TIMEOUTS } from '../core/exchange.ts'
import {
  CHUNKED,
  callTo,
  egressFor,
  eventually,
  failureOf,
  serve,
  serveRaw,
  serveWith,
  settled,
  sleep,
  text,
} from './loopback.ts'

const limits = (more: Partial<typeof TIMEOUTS>): Partial<OutgoingCall> => ({ timeouts: { ...TIMEOUTS, ...more } })
const drip = (ms: number) => (socket: Socket) => {
  socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
  const timer = setInterval(() => socket.write('1\r\nx\r\n'), ms)
  socket.on('close', () => clearInterval(timer))
}
const TIMED: readonly {
  readonly what: string
  readonly more: Partial<OutgoingCall>
  readonly answer: (socket: Socket) => void
  readonly scheme?: string
}[] = [
  { what: 'connection', scheme: 'https', more: limits({ connectMs: 250 }), answer: () => {} },
  { what: 'first byte', more: { ...limits({ headersStreamedMs: 250 }), streamed: true }, answer: () => {} },
  { what: 'first byte', more: limits({ headersUnstreamedMs: 250, headersStreamedMs: 10 }), answer: () => {} },
  { what: 'next byte', more: limits({ idleMs: 250 }), answer: (socket) => void socket.write(CHUNKED) },
  { what: 'complete answer', more: limits({ totalMs: 250, idleMs: 200 }), answer: drip(30) },
]

for (const { what, more, answer, scheme } of TIMED) {
  const kind = more.streamed ? 'streamed' : 'unstreamed'
  test(`the limit on the ${what} (${kind}) fires within 100 ms and names itself`, async (t) => {
    let closed = 0
    const server = net.createServer((socket) => {
      socket.once('data', () => answer(socket))
      socket.on('close', () => closed++)
    })
    const origin = await serveWith(t, server, scheme)
    const egress = egressFor(t)
    const once = async (): Promise<number> => {
      const started = performance.now()
      const error = await failureOf(egress.send(callTo(origin, more)).then((reply) => reply.collect(1_000)))
      assert.equal(error.code, 'upstream_timeout')
      assert.equal(error.message, `Upstream "up": no ${what} within 250 ms.`)
      return performance.now() - started
    }
    // Beside a plain timer, and the best of some: what the limit is, not what else runs on this machine.
    let late = Number.POSITIVE_INFINITY
    for (let i = 0; i < 10 && (i < 3 || late >= 100); i++) {
      const [took, timer] = await Promise.all([once(), settled(sleep(250))])
      assert.ok(took > 200, `${Math.round(took)} ms`)
      late = Math.min(late, took - timer)
    }
    assert.ok(late < 100, `${Math.round(late)} ms late`)
    await eventually(() => closed >= 3)
  })
}

test('a resolver that never answers is a connection that was not made in time', async (t) => {
  const egress = egressFor(t, { resolve: (() => {}) as unknown as typeof dns.lookup })
  const error = await failureOf(egress.send(callTo('http://slow.example/', limits({ connectMs: 100 }))))
  assert.equal(error.message, 'Upstream "up": no connection within 100 ms.')
})

test('A49: bytes that keep coming, however slowly, hold no limit but the total', async (t) => {
  const origin = await serveRaw(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    let left = 8
    const timer = setInterval(() => {
      socket.write(left > 0 ? '1\r\nx\r\n' : '0\r\n\r\n')
      if (left-- === 0) clearInterval(timer)
    }, 100)
  })
  const reply = await egressFor(t).send(callTo(origin, limits({ idleMs: 300, headersUnstreamedMs: 300 })))
  assert.equal(await text(reply), 'x'.repeat(8))
})

test('a reader that waits is not taken for an upstream that is silent', async (t) => {
  const origin = await serve(t, (_request, response) => void response.end(Buffer.alloc(4 * 1024 * 1024)))
  const reply = await egressFor(t).send(callTo(origin, limits({ idleMs: 150 })))
  await sleep(400)
  assert.equal((await reply.collect(8 * 1024 * 1024)).length, 4 * 1024 * 1024)
})
