/**
 * One large request must not stop the others: while prompts and images of twenty megabytes come in one after another, a
 * small request beside them is answered soon. The bound is wide; what it catches is work in proportion to the body that
 * is done in one piece, several times over, or worse than linearly.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { exchange } from '../running/index.ts'
import { atEnd, chatBody, MODEL, residentBytes, type Spawned, scratch, spawnGateway } from './spawned.ts'

const BYTES = 20 * 1024 * 1024
const LARGE_REQUESTS = 4
const MOST_MS = 500
/** Whatever else the machine does only adds to a time: the best of so many rounds counts. */
const MOST_ROUNDS = 6

const REPLY = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1_750_000_000,
  model: 'gpt-4o-mini',
  choices: [{ index: 0, message: { role: 'assistant', content: 'read' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 },
})

/** Reads and forgets: the scripted provider would parse each body in this process, and be measured along. */
async function sink(t: TestContext): Promise<{ url: string; received: number[] }> {
  const received: number[] = []
  const server = http.createServer((request, response) => {
    let bytes = 0
    request.on('data', (part: Buffer) => {
      bytes += part.length
    })
    request.on('end', () => {
      received.push(bytes)
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': REPLY.length }).end(REPLY)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received }
}

/**
 * How long the serving thread has had a processor, where the system says it. While others have it, requests wait, but not
 * for the large one.
 */
function workedMs(gateway: Spawned): number {
  try {
    return Number(readFileSync(`/proc/${gateway.process.pid}/schedstat`, 'utf8').split(' ', 1)[0]) / 1e6
  } catch {
    return performance.now()
  }
}

/** Sends the body some times, and returns what small requests beside it took, in milliseconds. */
async function beside(gateway: Spawned, body: Buffer): Promise<number[]> {
  let over = false
  const tookMs: number[] = []
  const small = (async () => {
    while (!over) {
      const began = performance.now()
      const worked = workedMs(gateway)
      assert.equal((await gateway.chat(MODEL, 'small')).status, 200)
      tookMs.push(Math.min(performance.now() - began, workedMs(gateway) - worked))
      await sleep(5)
    }
  })()
  for (let n = 0; n < LARGE_REQUESTS; n++) {
    const answer = await exchange(`${gateway.url}/v1/chat/completions`, 'POST', body)
    assert.equal(answer.status, 200, answer.text.slice(0, 300))
  }
  over = true
  await small
  return tookMs.sort((a, b) => a - b)
}

const words = (bytes: number): string => 'The quick brown fox says "no".\n'.repeat(bytes / 31)
const image = (bytes: number): string => Buffer.alloc((bytes * 3) / 4, 'image').toString('base64')
const messages = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ role: n % 2 ? 'assistant' : 'user', content: `message ${n} `.repeat(8) }))
const tools = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    type: 'function',
    function: {
      name: `tool_${n}`,
      description: 'does something',
      parameters: { type: 'object', properties: { a: { type: 'string' }, b: { type: 'integer' } }, required: ['a'] },
    },
  }))

const BODIES: Readonly<Record<string, () => object>> = {
  'a 20 MB prompt': () => chatBody(MODEL, words(BYTES)),
  'a 20 MB prompt that is not ASCII': () => chatBody(MODEL, 'Ünïcödé 漢字 🙂 '.repeat(BYTES / 28)),
  'a 20 MB base64 image': () => ({
    model: MODEL,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'what is this?' },
          { type: 'image_url', image_url: { url: `data:image/png;base64,${image(BYTES)}` } },
        ],
      },
    ],
  }),
  '10,000 messages and 5,000 tools': () => ({ model: MODEL, messages: messages(10_000), tools: tools(5_000) }),
}

test('A15, T63: small requests are answered soon while very large ones come in', async (t) => {
  const upstream = await sink(t)
  const gateway = await spawnGateway(t, { dataDir: join(scratch(t), 'data'), upstream: upstream.url })
  for (let n = 0; n < 50; n++) await gateway.chat(MODEL, `warm ${n}`)
  for (const [name, make] of Object.entries(BODIES)) {
    const body = Buffer.from(JSON.stringify(make()))
    let most = Number.POSITIVE_INFINITY
    for (let round = 0; round < MOST_ROUNDS && most >= MOST_MS; round++) {
      const tookMs = await beside(gateway, body)
      most = Math.min(most, tookMs.at(-1) as number)
      const size = residentBytes(gateway.process.pid) ?? 0
      const middle = (tookMs[tookMs.length >> 1] as number).toFixed(1)
      t.diagnostic(
        `${name} (${body.length >> 10} KiB): ${tookMs.length} beside, median ${middle} ms, most ${most.toFixed(0)} ms, resident ${size >> 20} MiB`,
      )
    }
    assert.ok(most < MOST_MS, `beside ${name} a small request took ${most} ms`)
    const full = upstream.received.filter((bytes) => bytes > body.length * 0.99)
    assert.ok(full.length >= LARGE_REQUESTS, 'the large ones arrived whole')
  }
})
