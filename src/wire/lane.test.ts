import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { CHUNKED, callTo, egressFor, failureOf, OK, serveRaw, sleep, text } from './loopback.ts'

function counted(t: TestContext, answer: (socket: Socket, nth: number) => void) {
  const seen = { connections: 0, requests: 0 }
  const sockets = new WeakSet<Socket>()
  const origin = serveRaw(t, (socket, nth) => {
    if (!sockets.has(socket)) seen.connections++
    sockets.add(socket)
    seen.requests++
    answer(socket, nth)
  })
  return origin.then((url) => ({ url, seen }))
}

test('a connection serves one call after the other, and each call at once has its own', async (t) => {
  const { url, seen } = await counted(t, (socket) => setTimeout(() => socket.write(OK), 20))
  const egress = egressFor(t)
  for (let i = 0; i < 5; i++) assert.equal(await text(await egress.send(callTo(url))), 'ok')
  assert.equal(seen.connections, 1)
  await Promise.all(Array.from({ length: 20 }, async () => text(await egress.send(callTo(url)))))
  assert.equal(seen.connections, 20)
  assert.equal(await text(await egress.send(callTo(url, { upstream: 'other' }))), 'ok')
  assert.equal(seen.connections, 21, 'another upstream has connections of its own')
})

test('A49: a pooled connection that the server just closed costs one silent retry on a fresh one', async (t) => {
  for (const end of ['destroy', 'resetAndDestroy', 'end'] as const) {
    const { url, seen } = await counted(t, (socket, nth) => {
      if (nth === 1) socket.write(OK)
      else socket[end]()
    })
    const egress = egressFor(t)
    assert.equal(await text(await egress.send(callTo(url))), 'ok')
    assert.equal(await text(await egress.send(callTo(url))), 'ok', end)
    assert.deepEqual(seen, { connections: 2, requests: 3 })
  }
})

test('A49: a server that hangs up on idle connections fails no call', async (t) => {
  const { url, seen } = await counted(t, (socket) => {
    socket.write(OK)
    setTimeout(() => socket.destroy(), 12)
  })
  const egress = egressFor(t)
  for (let i = 0; i < 80; i++) {
    assert.equal(await text(await egress.send(callTo(url))), 'ok')
    await sleep(9 + (i % 8))
  }
  assert.equal(seen.requests >= 80 && seen.requests < 170, true)
})

test('A49: nothing else is ever sent twice', async (t) => {
  const cases: readonly {
    readonly name: string
    readonly code: string
    readonly requests: number
    readonly answer: (socket: Socket, nth: number, requests: number) => void
  }[] = [
    {
      name: 'a fresh connection that dies without an answer',
      code: 'upstream_unreachable',
      requests: 1,
      answer: (socket) => socket.destroy(),
    },
    {
      name: 'the retry dies as well',
      code: 'upstream_unreachable',
      requests: 3,
      answer: (socket, _nth, requests) => (requests === 1 ? void socket.write(OK) : socket.destroy()),
    },
    {
      name: 'a pooled connection that dies after a byte of the answer',
      code: 'upstream_incomplete',
      requests: 2,
      answer: (socket, nth) => (nth === 1 ? void socket.write(OK) : void socket.end('HTTP/1.1 2')),
    },
    {
      name: 'a pooled connection that dies long after it was used',
      code: 'upstream_unreachable',
      requests: 2,
      answer: (socket, nth) => (nth === 1 ? void socket.write(OK) : void setTimeout(() => socket.end(), 2_200)),
    },
  ]
  await Promise.all(
    cases.map(async ({ name, code, requests, answer }) => {
      const { url, seen } = await counted(t, (socket, nth) => answer(socket, nth, seen.requests))
      const egress = egressFor(t)
      if (requests > 1) assert.equal(await text(await egress.send(callTo(url))), 'ok')
      const error = await failureOf(egress.send(callTo(url)).then(text))
      assert.equal(error.code, code, `${name}: ${error.message}`)
      assert.equal(seen.requests, requests, name)
    }),
  )
})

test('the Keep-Alive hint of a server is honored', async (t) => {
  const { url, seen } = await counted(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok')
  })
  const egress = egressFor(t)
  for (let i = 0; i < 3; i++) {
    assert.equal(await text(await egress.send(callTo(url))), 'ok')
    await sleep(10)
  }
  assert.equal(seen.connections, 3, 'a second is too little to use again')
})

test('discard keeps the connection of a stream whose end is near, and gives up one that goes on', async (t) => {
  const { url, seen } = await counted(t, (socket, nth) => {
    socket.write(CHUNKED)
    if (nth === 1) setTimeout(() => socket.write('0\r\n\r\n'), 50)
  })
  const egress = egressFor(t)
  const first = await egress.send(callTo(url))
  for await (const _chunk of first.chunks) {
    first.discard()
    break
  }
  first.abort()
  await sleep(120)
  const second = await egress.send(callTo(url))
  assert.equal(seen.connections, 1)
  second.discard()
  await sleep(700)
  const third = await egress.send(callTo(url))
  assert.equal(seen.connections, 2)
  third.abort()
})

test('close ends what runs, and refuses what comes', async (t) => {
  const origin = await serveRaw(t, () => {})
  const egress = egressFor(t)
  const running = failureOf(egress.send(callTo(origin)))
  await sleep(50)
  await egress.close()
  await running
  assert.equal((await failureOf(egress.send(callTo(origin)))).code, 'shutting_down')
})
