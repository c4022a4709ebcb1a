import assert from 'node:assert/strict'
import net, { type Socket } from 'node:net'
import { test } from 'node:test'
import type { IncomingReply } from '../core/egress.ts'
import { failure } from '../core/errors.ts'
import {
  CHUNKED,
  callTo,
  egressFor,
  eventually,
  failureOf,
  OK,
  resolving,
  serve,
  serveRaw,
  serveWith,
  settled,
  sleep,
  text,
} from './loopback.ts'

test('method, path, query, headers and body arrive as they were given', async (t) => {
  const origin = await serve(t, (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      const { method, url, headers } = request
      response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(pieces).toString() }))
    })
  })
  const egress = egressFor(t)
  const big = 'é'.repeat(200_000)
  for (const body of [
    Buffer.from('abc'),
    [Buffer.from('ab'), Buffer.from('c')],
    [Buffer.from(big), Buffer.from(big)],
  ]) {
    const seen = JSON.parse(
      await text(await egress.send(callTo(`${origin}/v1/x?a=b%20c`, { headers: { 'x-own': 'é' }, body }))),
    )
    assert.equal(seen.method, 'POST')
    assert.equal(seen.url, '/v1/x?a=b%20c')
    assert.equal(seen.headers['x-own'], 'é')
    assert.equal(seen.headers['accept-encoding'], undefined)
    const expected = Buffer.concat([body].flat())
    assert.equal(seen.headers['content-length'], String(expected.length))
    assert.equal(seen.body, expected.toString())
  }
  const { body: _body, ...get } = callTo(`${origin}/v1/models`, { method: 'GET' })
  assert.equal(JSON.parse(await text(await egress.send(get))).method, 'GET')
})

test('a stream is delivered as it arrives, not when it ends', async (t) => {
  let more = (): void => {}
  const origin = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
    more = () => response.end('data: 2\n\n')
  })
  const reply = await egressFor(t).send(callTo(origin, { streamed: true }))
  const chunks = reply.chunks[Symbol.asyncIterator]()
  assert.equal((await chunks.next()).value?.toString(), 'data: 1\n\n')
  more()
  assert.equal((await chunks.next()).value?.toString(), 'data: 2\n\n')
  assert.deepEqual(await chunks.next(), { value: undefined, done: true })
})

test('headers: lower case, repeated ones joined, those of the connection dropped', async (t) => {
  const origin = await serveRaw(t, (socket) => {
    socket.write(
      'HTTP/1.1 200 OK\r\nX-Request-ID: r\r\nX-A: 1\r\nx-a: 2\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n' +
        'Keep-Alive: timeout=9\r\nUpgrade: h2c\r\nTrailer: x\r\n__proto__: x\r\nContent-Length: 0\r\n\r\n',
    )
  })
  const { headers } = await egressFor(t).send(callTo(origin))
  assert.deepEqual(headers, { 'x-request-id': 'r', 'x-a': '1, 2' })
})

test('interim answers are passed over', async (t) => {
  const origin = await serveRaw(t, (socket) => {
    socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}`)
  })
  const reply = await egressFor(t).send(callTo(origin))
  assert.equal(reply.status, 200)
  assert.equal(await text(reply), 'ok')
})

test('T74: a redirect is an answer like any other and is not followed', async (t) => {
  let visits = 0
  const canary = await serve(t, (_request, response) => {
    visits++
    response.end()
  })
  const origin = await serve(t, (_request, response) => {
    response.writeHead(302, { location: `${canary}/` }).end('moved')
  })
  const reply = await egressFor(t).send(callTo(origin))
  assert.equal(reply.status, 302)
  assert.equal(reply.headers.location, `${canary}/`)
  await reply.collect(100)
  assert.equal(visits, 0)
})

test('back-pressure: what nobody reads is not fetched, and all of it arrives once somebody does', async (t) => {
  const total = 48 * 1024 * 1024
  let written = 0
  const origin = await serve(t, (_request, response) => {
    const piece = Buffer.alloc(64 * 1024, 'x')
    const write = (): void => {
      while (written < total) {
        written += piece.length
        if (!response.write(piece)) {
          response.once('drain', write)
          return
        }
      }
      response.end()
    }
    write()
  })
  const reply = await egressFor(t).send(callTo(origin, { streamed: true }))
  await sleep(300)
  const stalled = written
  assert.ok(stalled < 24 * 1024 * 1024, `the server could write ${stalled} bytes`)
  await sleep(100)
  assert.equal(written, stalled)
  let read = 0
  for await (const chunk of reply.chunks) {
    read += chunk.length
    if (read % (8 * 1024 * 1024) < chunk.length) await sleep(5)
  }
  assert.equal(read, total)
})

test('collect refuses more than its limit, and closes the connection', async (t) => {
  let closed = false
  const origin = await serve(t, (request, response) => {
    request.socket.on('close', () => {
      closed = true
    })
    const more = (): void => {
      while (!closed && response.write(Buffer.alloc(65_536)));
      if (!closed) response.once('drain', more)
    }
    more()
  })
  const reply = await egressFor(t).send(callTo(origin))
  const error = await failureOf(reply.collect(1_000_000))
  assert.equal(error.code, 'upstream_invalid')
  assert.match(error.message, /1000000 bytes/)
  await eventually(() => closed)
})

// Leaving, at every point.

interface Stage {
  readonly name: string
  readonly answer: (socket: Socket) => void
  /** Resolves when the call is at that point; `rest` fails when the call is aborted. */
  readonly reach: (reply: Promise<IncomingReply>) => Promise<{ rest: Promise<unknown> }>
  readonly scheme?: string
}
const STAGES: readonly Stage[] = [
  { name: 'while connecting', scheme: 'https', answer: () => {}, reach: async (reply) => ({ rest: reply }) },
  { name: 'before the headers', answer: () => {}, reach: async (reply) => ({ rest: reply }) },
  {
    name: 'amid the headers',
    answer: (socket) => void socket.write('HTTP/1.1 200 OK\r\nx-a: '),
    reach: async (reply) => ({ rest: reply }),
  },
  {
    name: 'before the first byte of the body',
    answer: (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n'),
    reach: async (reply) => ({ rest: (await reply).chunks[Symbol.asyncIterator]().next() }),
  },
  {
    name: 'mid-stream',
    answer: (socket) => void socket.write(CHUNKED),
    reach: async (reply) => {
      const chunks = (await reply).chunks[Symbol.asyncIterator]()
      await chunks.next()
      return { rest: chunks.next() }
    },
  },
  {
    name: 'while a body is collected',
    answer: (socket) => void socket.write(CHUNKED),
    reach: async (reply) => ({ rest: (await reply).collect(1_000_000) }),
  },
]

for (const stage of STAGES) {
  test(`a client that leaves ${stage.name} closes the upstream's connection within 200 ms`, async (t) => {
    let closedAt = 0
    let arrived = (): void => {}
    const here = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const server = net.createServer((socket) => {
      socket.once('data', () => {
        stage.answer(socket)
        arrived()
      })
      socket.on('close', () => {
        closedAt = performance.now()
      })
    })
    const origin = await serveWith(t, server, stage.scheme)
    const client = new AbortController()
    const sent = egressFor(t).send(callTo(origin, { signal: client.signal, streamed: true }))
    const { rest } = await stage.reach(sent)
    const outcome = failureOf(rest)
    await here
    await sleep(20)
    const leftAt = performance.now()
    client.abort()
    assert.equal((await outcome).code, 'client_closed')
    while (closedAt === 0 && performance.now() - leftAt < 2_000) await sleep(5)
    assert.ok(closedAt > 0 && closedAt - leftAt < 200, `${Math.round(closedAt - leftAt)} ms`)
  })
}

test('a client that leaves while nobody reads closes the connection too', async (t) => {
  let closed = false
  const origin = await serve(t, (request, response) => {
    request.socket.on('close', () => {
      closed = true
    })
    for (let i = 0; i < 100; i++) response.write(Buffer.alloc(65_536))
  })
  const client = new AbortController()
  const reply = await egressFor(t).send(callTo(origin, { signal: client.signal }))
  await sleep(100)
  client.abort()
  await eventually(() => closed)
  assert.equal((await failureOf(reply.chunks[Symbol.asyncIterator]().next())).code, 'client_closed')
})

test('the reason of the signal is the error, where it is one of ours', async (t) => {
  const origin = await serveRaw(t, () => {})
  const stop = new AbortController()
  const outcome = failureOf(egressFor(t).send(callTo(origin, { signal: stop.signal })))
  stop.abort(failure('shutting_down'))
  assert.equal((await outcome).code, 'shutting_down')
  const again = failureOf(egressFor(t).send(callTo(origin, { signal: stop.signal })))
  assert.equal((await again).code, 'shutting_down')
})

test('breaking off the iteration closes the connection, and abort does', async (t) => {
  let closed = 0
  const origin = await serve(t, (request, response) => {
    request.socket.on('close', () => closed++)
    response.write('x')
  })
  const egress = egressFor(t)
  const reply = await egress.send(callTo(origin))
  for await (const chunk of reply.chunks) {
    assert.equal(chunk.toString(), 'x')
    break
  }
  const other = await egress.send(callTo(origin))
  other.abort()
  other.abort()
  await eventually(() => closed === 2)
})

// Where calls may go.

test('a name that does not resolve is named, at once', async (t) => {
  const resolve = resolving(() => Object.assign(new Error('no'), { code: 'ENOTFOUND' }))
  const sent = egressFor(t, { resolve }).send(callTo('https://api.nowhere.example/v1'))
  const ms = settled(sent)
  const error = await failureOf(sent)
  assert.equal(error.code, 'upstream_unreachable')
  assert.match(error.message, /"up".*api\.nowhere\.example does not resolve/)
  assert.ok((await ms) < 15_000)
})

test('a port that nobody listens on is named', async (t) => {
  const error = await failureOf(egressFor(t).send(callTo('http://127.0.0.1:1/v1')))
  assert.equal(error.code, 'upstream_unreachable')
  assert.match(error.message, /nothing listens at 127\.0\.0\.1:1/)
})

test('T74: a name that changes its meaning between calls reaches nothing forbidden', async (t) => {
  let connections = 0
  const origin = await serveRaw(t, (socket) => {
    connections++
    socket.end(`${OK}`)
  })
  const port = new URL(origin).port
  let asked = 0
  const resolve = resolving(() => (asked++ === 0 ? '127.0.0.1' : '169.254.169.254'))
  const egress = egressFor(t, { resolve })
  assert.equal(await text(await egress.send(callTo(`http://rebind.example:${port}/`))), 'ok')
  await sleep(30)
  const error = await failureOf(egress.send(callTo(`http://rebind.example:${port}/`)))
  assert.match(error.message, /its address 169\.254\.169\.254 is link-local/)
  assert.equal(error.kind.retry, 'elsewhere')
  assert.equal(connections, 1)
})

test('T74: for a public audience loopback is out of reach, by address and by name', async (t) => {
  let connections = 0
  const server = net.createServer(() => connections++)
  const { port } = new URL(await serveWith(t, server))
  const egress = egressFor(t, { audience: 'public', resolve: resolving(() => '127.0.0.1') })
  for (const host of ['127.0.0.1', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]', 'localhost', 'inside.example', '0']) {
    const error = await failureOf(egress.send(callTo(`http://${host}:${port}/`)))
    assert.equal(error.code, 'upstream_unreachable', host)
  }
  assert.equal(connections, 0)
})

test('T75: an address that an administrator allowed is called, under that list only', async (t) => {
  const origin = await serveRaw(t, (socket) => void socket.write(OK))
  const { port } = new URL(origin)
  const egress = egressFor(t, { audience: 'public', resolve: resolving(() => '127.0.0.1') })
  const url = `http://inside.example:${port}/`
  assert.equal(await text(await egress.send(callTo(url, { allowHosts: ['inside.example'] }))), 'ok')
  assert.equal((await failureOf(egress.send(callTo(url)))).code, 'upstream_unreachable')
})

test('T57: a header value that would break out of its line is not sent', async (t) => {
  let connections = 0
  const origin = await serveWith(
    t,
    net.createServer(() => connections++),
  )
  const egress = egressFor(t)
  for (const headers of [{ 'x-a': 'a\r\nx-b: c' }, { 'x-a': 'a\0' }, { 'x a': 'b' }, { 'x-a': '🌍' }]) {
    const error = await failureOf(egress.send(callTo(origin, { headers })))
    assert.equal(error.code, 'upstream_unreachable')
    assert.match(error.message, /cannot be written: a header has/)
  }
  assert.equal(connections, 0)
})
