/** Slow readers and slow writers, and more connections than there may be: bounded, told, booked, and nobody else's trouble. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { certificate } from '../../src/wire/loopback.ts'
import { exchange, runGateway, until } from '../running/index.ts'
import { attemptsIn, chatBody, MODEL } from './spawned.ts'

const MEBIBYTE = 1024 * 1024

/** Asks for a stream and takes nothing of it. */
async function stopped(url: string, model: string): Promise<net.Socket> {
  const { hostname, port, host } = new URL(url)
  const socket = net.connect({ host: hostname, port: Number(port) })
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.pause()
  const body = JSON.stringify(chatBody(model, 'tell me everything', { stream: true }))
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  return socket
}

test('T54: readers that stop are paused upstream, cut off after the stall limit, and booked', async (t) => {
  const readers = process.env.STOCKYARD_LONG ? 50 : 12
  const patienceMs = process.env.STOCKYARD_LONG ? 240_000 : 30_000
  const gateway = await runGateway(t, { stallMs: 2_000 })
  const sockets = await Promise.all(
    Array.from({ length: readers }, () => stopped(gateway.url, `${MODEL}+endless+size=4k`)),
  )
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  const { rows } = gateway.upstream.ledger
  await until(() => rows.length === readers, 'all have begun', patienceMs)
  const sent = (): number => rows.reduce((sum, { bytesSent }) => sum + bytesSent, 0)
  let before = -1
  await until(
    async () => {
      before = sent()
      await sleep(200)
      return sent() === before || rows.every(({ clientHungUpAt }) => clientHungUpAt)
    },
    'the upstream is paused',
    patienceMs,
  )
  // The kernel's buffers on four sockets each are part of it.
  assert.ok(before / readers < 24 * MEBIBYTE, `${Math.round(before / readers / 1024)} KiB each`)
  assert.equal((await gateway.chat(MODEL, 'and I?')).status, 200, 'others are served meanwhile')
  await until(
    () => rows.filter(({ clientHungUpAt }) => clientHungUpAt).length === readers,
    'all are let go of',
    patienceMs,
  )
  await until(
    () => attemptsIn(gateway.dataDir).filter(({ outcome }) => outcome === 'client_cancel').length === readers,
    'all are booked',
    patienceMs,
  )
})

test('T54: an answer in one piece that nobody takes is cut off, too; one that is read slowly is not', async (t) => {
  const gateway = await runGateway(t, { stallMs: 500 })
  const { hostname, port, host } = new URL(gateway.url)
  const ask = async (): Promise<net.Socket> => {
    const socket = net.connect({ host: hostname, port: Number(port) })
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.pause()
    const body = JSON.stringify(chatBody(`${MODEL}+size=16m`, 'all of it'))
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
    return socket
  }
  const deaf = await ask()
  await sleep(3_000)
  let end = ''
  deaf.on('close', () => (end = 'closed')).resume()
  let bytes = 0
  deaf.on('data', (part) => (bytes += part.length))
  await until(() => end === 'closed', 'it was cut off', 5_000)
  assert.ok(bytes < 16 * MEBIBYTE)
  const slow = await ask()
  let whole = 0
  slow.on('data', (part) => {
    whole += part.length
    slow.pause()
    setTimeout(() => slow.resume(), 3)
  })
  slow.resume()
  await until(() => whole > 16 * MEBIBYTE, 'all of it came', 30_000)
  slow.destroy()
})

test('T45: upstreams that drip are ended by the total limit, and nobody else waits for them', async (t) => {
  const drips = process.env.STOCKYARD_LONG ? 2_000 : 100
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  await gateway.admin('PUT', 'routes/drip', {
    targets: [{ upstream: 'openai', model: 'gpt-4o-mini+slow-drip=20' }],
    timeouts: { totalMs: 3_000 },
  })
  const before = process.memoryUsage().rss
  const all = Array.from({ length: drips }, (_, i) => gateway.chat('drip', 'hi', { stream: i % 2 === 0 }))
  await until(() => gateway.upstream.ledger.rows.length === drips, 'all are upstream', 20_000)
  assert.equal((await gateway.chat(MODEL, 'and I?')).status, 200)
  for (const answer of await Promise.all(all)) assert.match(answer.text, /no complete answer within 3000 ms/)
  assert.ok(process.memoryUsage().rss - before < 256 * MEBIBYTE)
})

for (const secure of [false, true]) {
  test(`T53: heads and bodies that never end are dropped on time${secure ? ', over TLS, too' : ''}, and cost others nothing`, async (t) => {
    const lorises = process.env.STOCKYARD_LONG && !secure ? 5_000 : 100
    const gateway = await runGateway(t, {
      headersTimeoutMs: 1_000,
      requestTimeoutMs: 2_000,
      ...(secure ? { tls: certificate('localhost') } : {}),
    })
    const { host: named, hostname: host, port: said } = new URL(gateway.url)
    const port = Number(said)
    const heads = `host: ${named}\r\ncontent-type: application/json\r\n`
    const beginnings = [
      `POST /v1/chat/completions HTTP/1.1\r\n${heads}x-slow: `,
      `POST /v1/chat/completions HTTP/1.1\r\n${heads}content-length: 500\r\n\r\n{`,
      `POST /api/keys HTTP/1.1\r\n${heads}authorization: Bearer ${gateway.adminKey}\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n`,
      // Not even a handshake.
      ...(secure ? [''] : []),
    ]
    const closed = new Set<net.Socket>()
    const sockets: net.Socket[] = []
    t.after(() => {
      for (const socket of sockets) socket.destroy()
    })
    let drips = true
    const drip = async (socket: net.Socket, text: string): Promise<void> => {
      for (; drips && !socket.destroyed; await sleep(400)) socket.write(text)
    }
    for (let i = 0; i < lorises; i++) {
      const beginning = beginnings[i % beginnings.length] as string
      // Whoever wants to hold on to its connection does not hang up because the other side did.
      const place = { host, port, allowHalfOpen: beginning !== '' && lorises <= 100 }
      const isSecure = secure && beginning !== ''
      const socket = isSecure ? tls.connect({ ...place, rejectUnauthorized: false }) : net.connect(place)
      sockets.push(socket)
      socket.on('error', () => {})
      socket.on('close', () => closed.add(socket))
      socket.resume()
      await once(socket, isSecure ? 'secureConnect' : 'connect')
      if (beginning === '') continue
      socket.write(beginning)
      if (place.allowHalfOpen) void drip(socket, beginning.includes('chunked') ? '1\r\nx\r\n' : 'x')
    }
    for (let i = 0; i < 20; i++) assert.equal((await gateway.chat(MODEL, 'quick')).status, 200)
    await until(() => closed.size === lorises, 'all are dropped', 20_000)
    drips = false
    assert.equal(gateway.upstream.ledger.rows.length, 20)
  })
}

test('T61: idle connections are kept, one beyond the limit is answered 503 with Retry-After, and places come back', async (t) => {
  const most = 80
  const gateway = await runGateway(t, { maxConnections: most })
  const { hostname, port } = new URL(gateway.url)
  const open = async (): Promise<net.Socket> => {
    const socket = net.connect({ host: hostname, port: Number(port) })
    socket.on('error', () => {})
    await once(socket, 'connect')
    return socket
  }
  const idle = await Promise.all(Array.from({ length: most - 5 }, open))
  t.after(() => {
    for (const socket of idle) socket.destroy()
  })
  assert.equal((await gateway.chat(MODEL, 'there is room')).status, 200)
  const burst = await Promise.all(Array.from({ length: 20 }, () => gateway.chat(`${MODEL}+delay=300`, 'burst')))
  const refused = burst.filter(({ status }) => status === 503)
  assert.ok(refused.length >= 10 && burst.length - refused.length >= 4, `${refused.length} of 20 are refused`)
  for (const answer of refused) assert.equal(answer.headers['retry-after'], '1')
  for (const socket of idle.splice(0, 40)) socket.destroy()
  await until(
    async () => (await exchange(`${gateway.url}/health/live`, 'GET')).status === 200,
    'there is room again',
    5_000,
  )
  const after = await Promise.all(Array.from({ length: 20 }, () => gateway.chat(MODEL, 'once more')))
  assert.ok(after.every(({ status }) => status === 200))
})
