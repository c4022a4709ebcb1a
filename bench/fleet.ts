/**
 * What the resilience bench and the soak run against: a gateway in a process of its own, as an operator starts it, and two
 * upstreams in this one, of which the first may fail a share of its calls. Loopback only.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ADMIN_KEY = 'sk-sy-admin-of-this-bench'
export const MODEL = 'resilient'

export interface Fleet {
  readonly port: number
  /** Calls that came to the upstreams. */
  readonly calls: () => number
  /** Of the gateway, in MiB. */
  readonly residentMb: () => number
  stop(): Promise<void>
}

export interface Behavior {
  /** Of the first upstream's calls. */
  readonly failingShare: number
  readonly chunks: number
  readonly paceMs: number
}

const answer = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model: 'gpt-4o-mini',
    choices: [{ index: 0, message: { role: 'assistant', content: 'It jumps.' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 10, completion_tokens: 3, total_tokens: 13 },
  }),
)
const failure = Buffer.from('{"error":{"message":"The server had an error.","type":"server_error"}}')
const delta = (content: string, finish: string | null): string =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-mini', choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`

export async function startFleet({ failingShare, chunks, paceMs }: Behavior): Promise<Fleet> {
  let calls = 0
  const open = new Map<http.ServerResponse, number>()
  // One timer for all streams.
  const tick = setInterval(() => {
    for (const [response, next] of open) {
      if (next < chunks) {
        response.write(delta(` word${next}`, null))
        open.set(response, next + 1)
        continue
      }
      open.delete(response)
      response.end(`${delta('', 'stop')}data: [DONE]\n\n`)
    }
  }, paceMs)
  const upstream = http.createServer((request, response) => {
    calls++
    let streamed = false
    request.on('data', (part: Buffer) => {
      streamed ||= part.includes('"stream":true')
    })
    request.on('end', () => {
      const fails = request.url?.startsWith('/first/') && Math.random() < failingShare
      if (fails) response.writeHead(500, { 'content-type': 'application/json' }).end(failure)
      else if (streamed) {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        open.set(response, 0)
        response.on('close', () => open.delete(response))
      } else response.writeHead(200, { 'content-type': 'application/json' }).end(answer)
    })
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const dataDir = mkdtempSync(join(tmpdir(), 'stockyard-bench-'))
  const main = join(import.meta.dirname, '../scripts/start.mjs')
  const { PATH, HOME } = process.env
  const child = spawn(
    process.execPath,
    ['--max-semi-space-size=32', main, 'serve', '--port', '0', '--data-dir', dataDir],
    {
      env: { PATH, HOME, STOCKYARD_ADMIN_KEY: ADMIN_KEY },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  process.on('exit', () => child.kill('SIGKILL'))
  const port = await new Promise<number>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (part: Buffer) => {
      text += part
      const found = /listens on http:\/\/[^:]+:(\d+)/.exec(text)
      if (found) resolve(Number(found[1]))
    })
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)))
  })
  const put = async (path: string, body: object): Promise<void> => {
    const reply = await fetch(`http://127.0.0.1:${port}/api/${path}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    if (!reply.ok) throw new Error(`${path}: ${await reply.text()}`)
  }
  for (const id of ['first', 'second']) {
    await put(`upstreams/${id}`, {
      provider: 'custom',
      baseUrl: `${upstreamUrl}/${id}/v1`,
      credentials: [{ id: 'main', secret: 'sk-bench-secret' }],
    })
  }
  const targets = ['first', 'second'].map((upstreamId) => ({ upstream: upstreamId, model: 'gpt-4o-mini' }))
  await put(`routes/${MODEL}`, { strategy: 'round-robin', targets })
  return {
    port,
    calls: () => calls,
    residentMb: () => {
      const text = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1]) / 1_024)
    },
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await gone
      clearTimeout(timer)
      clearInterval(tick)
      upstream.closeAllConnections()
      await new Promise((resolve) => upstream.close(resolve))
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

export interface Asked {
  readonly status: number
  readonly text: string
  readonly ms: number
}

/** One request. `leaveAfterMs`: the client hangs up then. */
export function ask(port: number, agent: http.Agent, stream: boolean, leaveAfterMs?: number): Promise<Asked> {
  const began = performance.now()
  const body = JSON.stringify({
    model: MODEL,
    ...(stream ? { stream: true } : {}),
    messages: [{ role: 'user', content: 'What does the fox do?' }],
  })
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    const over = (status: number): void =>
      resolve({ status, text: Buffer.concat(parts).toString(), ms: performance.now() - began })
    const request = http.request(
      {
        host: '127.0.0.1',
        port,
        path: '/v1/chat/completions',
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (response) => {
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('end', () => over(response.statusCode ?? 0))
        response.on('error', () => over(0))
      },
    )
    request.on('error', () => over(0))
    if (leaveAfterMs !== undefined) setTimeout(() => request.destroy(), leaveAfterMs)
    request.end(body)
  })
}
