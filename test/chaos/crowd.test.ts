/**
 * A crowd at the gateway as a process of its own: what idle connections beside running streams cost in memory and
 * descriptors. The full numbers are those of `npm run test:long`.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { until } from '../running/index.ts'
import { atEnd, MODEL, openStream, residentBytes, scratch, spawnGateway, upstreamFor } from './spawned.ts'

const MEBIBYTE = 1024 * 1024
const isLong = process.env.STOCKYARD_LONG !== undefined

async function connected(t: TestContext, port: number, count: number): Promise<net.Socket[]> {
  const sockets: net.Socket[] = []
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy()
  })
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(250, count - sockets.length) }, () =>
      net.connect({ host: '127.0.0.1', port }),
    )
    for (const socket of some) socket.on('error', () => {})
    sockets.push(...some)
    await Promise.all(some.map((socket) => once(socket, 'connect')))
  }
  return sockets
}

/** What a new connection that asks at once is told, status and `retry-after`; it stays open. */
async function told(t: TestContext, port: number): Promise<string> {
  const socket = net.connect({ host: '127.0.0.1', port })
  atEnd(t, () => void socket.destroy())
  let text = ''
  await new Promise<void>((resolve) => {
    socket.on('error', () => {})
    socket.on('connect', () => socket.write('GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'))
    socket.on('data', (bytes) => {
      text += bytes
      if (text.includes('\r\n\r\n')) resolve()
    })
    socket.on('close', () => resolve())
  })
  return `${/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]} ${/retry-after: (\d+)/i.exec(text)?.[1] ?? ''}`
}

const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

test('T61: thousands of idle connections beside hundreds of streams stay small, and give everything back', async (t) => {
  const [idle, active, burst] = isLong ? [10_000, 500, 5_000] : [400, 40, 200]
  const upstream = await upstreamFor(t)
  const environment = { STOCKYARD_MAX_CONNECTIONS: String(idle + active + 50) }
  const gateway = await spawnGateway(t, { dataDir: join(scratch(t), 'data'), upstream: upstream.url, environment })
  const pid = gateway.process.pid as number
  if (residentBytes(pid) === undefined) return t.skip('this system does not tell a resident size')
  assert.equal((await gateway.chat(MODEL, 'warm')).status, 200)
  const before = descriptors(pid)
  const crowd = await connected(t, gateway.port, idle)
  const streams = await Promise.all(
    Array.from({ length: active }, (_, n) => openStream(gateway.url, `${MODEL}+chunks=20+pace=250`, `stream ${n}`)),
  )
  await until(() => streams.every((s) => s.text().includes('data: ')), 'all have begun', 60_000)
  // Nobody of these leaves before all have an answer: who is let in depends on their number alone.
  const more = await Promise.all(Array.from({ length: burst }, () => told(t, gateway.port)))
  const refused = more.filter((each) => each === '503 1').length
  assert.equal(more.filter((each) => each === '200 ').length + refused, burst, `${[...new Set(more)]}`)
  assert.ok(refused > burst / 4, `${refused} of ${burst} are over the limit and told when to come back`)
  for (const { text, whole } of await Promise.all(streams.map((s) => s.over))) {
    assert.ok(whole)
    assert.match(text, /data: \[DONE\]\n\n$/)
  }
  const rss = residentBytes(pid) as number
  t.diagnostic(`${idle} idle, ${active} active, ${burst} more: ${Math.round(rss / MEBIBYTE)} MiB, ${refused} refused`)
  assert.ok(rss < 1024 * MEBIBYTE)
  for (const socket of crowd) socket.destroy()
  await until(() => descriptors(pid) < before + active + 70, 'descriptors are given back', 30_000)
  assert.equal((await gateway.chat(MODEL, 'still here')).status, 200)
})
