/**
 * A gateway that runs for one test: in this process, on a free port, in an empty directory, beside a scripted provider.
 * Requests go over real sockets. Everything stops when the test ends.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Draft } from '../../src/core/directory.ts'
import type { Module } from '../../src/core/module.ts'
import { type Served, serve } from '../../src/serve.ts'
import { startUpstream, type Upstream } from '../upstream/index.ts'

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  /** The parsed body; for a stream, undefined. */
  // biome-ignore lint/suspicious/noExplicitAny: tests reach into answers of many shapes
  readonly json: any
  /** Payloads of the stream's `data:` lines. */
  readonly data: readonly string[]
}

export interface Running {
  readonly url: string
  readonly served: Served
  readonly upstream: Upstream
  readonly dataDir: string
  readonly adminKey: string
  /** Answers of the admin API; fails on an error status unless `anyStatus`. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  admin(method: string, path: string, body?: unknown): Promise<any>
  send(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>
  chat(model: string, text: string, more?: object, headers?: Record<string, string>): Promise<Answer>
  /** A new key, whole; `Authorization` and all. */
  key(draft?: Partial<Draft<'key'>>): {
    readonly id: string
    readonly key: string
    readonly headers: Record<string, string>
  }
  /** As a local scraper reads them. */
  metrics(): Promise<Answer>
  /** The ledger, row by row, as SQL sees it. */
  usage(groupBy?: string): Promise<readonly Record<string, unknown>[]>
  /** `between` runs while it is stopped. */
  restart(between?: () => void): Promise<void>
}

export interface RunningOptions {
  readonly environment?: Readonly<Record<string, string>>
  /** Upstreams of the scripted provider to configure: id → provider id. */
  readonly upstreams?: Readonly<Record<string, string>>
  readonly bodyLimitBytes?: number
  readonly uploadLimitBytes?: number
  readonly batchesMs?: number
  readonly trustedProxies?: readonly string[]
  readonly stallMs?: number
  readonly pingMs?: number
  readonly maxConnections?: number
  readonly headersTimeoutMs?: number
  readonly requestTimeoutMs?: number
  /** It serves over TLS with these. */
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly extraModules?: readonly Module[]
}

const PATHS: Readonly<Record<string, string>> = { anthropic: '', gemini: '', bedrock: '', cohere: '' }

export async function runGateway(t: Pick<TestContext, 'after'>, options: RunningOptions = {}): Promise<Running> {
  const upstream = await startUpstream()
  t.after(() => upstream.close())
  const dataDir = mkdtempSync(join(tmpdir(), 'stockyard-test-'))
  const adminKey = 'sk-sy-admin-of-this-test'
  const start = () =>
    serve({
      host: '127.0.0.1',
      port: 0,
      dataDir,
      logLevel: process.env.STOCKYARD_TEST_LOG ?? 'silent',
      workerUrl: new URL('../../src/store/local/worker.ts', import.meta.url),
      environment: { STOCKYARD_ADMIN_KEY: adminKey, ...options.environment },
      ...(options.extraModules ? { extraModules: options.extraModules } : {}),
      ...(options.stallMs ? { stallMs: options.stallMs } : {}),
      ...(options.pingMs ? { pingMs: options.pingMs } : {}),
      ...(options.tls ? { tls: { cert: Buffer.from(options.tls.cert), key: Buffer.from(options.tls.key) } } : {}),
      ...(options.maxConnections ? { maxConnections: options.maxConnections } : {}),
      ...(options.headersTimeoutMs ? { headersTimeoutMs: options.headersTimeoutMs } : {}),
      ...(options.requestTimeoutMs ? { requestTimeoutMs: options.requestTimeoutMs } : {}),
      ...(options.trustedProxies ? { trustedProxies: options.trustedProxies } : {}),
      ...(options.batchesMs ? { batchesMs: options.batchesMs } : {}),
      ...(options.bodyLimitBytes ? { bodyLimitBytes: options.bodyLimitBytes } : {}),
      ...(options.uploadLimitBytes ? { uploadLimitBytes: options.uploadLimitBytes } : {}),
    })
  let served = await start()
  t.after(async () => {
    await served.close(100)
    rmSync(dataDir, { recursive: true, force: true })
  })
  const running: Running = {
    get url() {
      return served.url
    },
    get served() {
      return served
    },
    upstream,
    dataDir,
    adminKey,
    async admin(method, path, body) {
      const answer = await exchange(`${served.url}/api/${path}`, method, body, { authorization: `Bearer ${adminKey}` })
      if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
      return answer.json
    },
    send: (path, body, headers = {}) => exchange(served.url + path, 'POST', body, headers),
    chat: (model, text, more = {}, headers = {}) =>
      exchange(
        `${served.url}/v1/chat/completions`,
        'POST',
        { model, messages: [{ role: 'user', content: text }], ...more },
        headers,
      ),
    key(draft = {}) {
      const { id, key, proof } = served.gateway.keys.mint()
      const change = { actor: 'test', action: 'key.create' }
      served.gateway.store.directory.change(change, (edit) => edit.insert('key', { ...draft, id }, proof))
      return { id, key, headers: { authorization: `Bearer ${key}` } }
    },
    metrics: () => exchange(`${served.url}/metrics`, 'GET'),
    async usage(groupBy = 'model,upstream') {
      return (await running.admin('GET', `usage?groupBy=${groupBy}`)).rows
    },
    async restart(between) {
      await served.close(100)
      between?.()
      served = await start()
    },
  }
  for (const [id, provider] of Object.entries(options.upstreams ?? { openai: 'openai' })) {
    await running.admin('PUT', `upstreams/${id}`, {
      provider,
      baseUrl: upstream.url + (PATHS[provider] ?? '/v1'),
      credentials: [{ id: 'main', secret: `sk-test-secret-${id}` }],
    })
  }
  return running
}

/** One request over a connection of its own. A string or Buffer body is sent as it is. */
export function exchange(
  url: string,
  method: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const bytes =
    body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const request = (url.startsWith('https:') ? https : http).request(url, {
      method,
      agent: false,
      rejectUnauthorized: false,
      headers: {
        ...(bytes === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) }),
        ...headers,
      },
    })
    request.on('error', reject)
    request.on('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8')
        const stream = /event-stream/.test(response.headers['content-type'] ?? '')
        let json: unknown
        try {
          json = stream || !text ? undefined : JSON.parse(text)
        } catch {
          json = undefined
        }
        const data = stream ? text.split('\n').flatMap((l) => (l.startsWith('data: ') ? [l.slice(6)] : [])) : []
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json, data })
      })
    })
    request.end(bytes)
  })
}

/** The text of a streamed chat answer. */
export const streamedText = (answer: Answer): string =>
  answer.data
    .filter((d) => d !== '[DONE]')
    .map((d) => (JSON.parse(d) as { choices?: { delta?: { content?: string } }[] }).choices?.[0]?.delta?.content ?? '')
    .join('')

/** Waits until something holds. The limit is there to end a test that fails, not to judge one on a busy machine. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, mostMs = 30_000): Promise<void> {
  const end = performance.now() + mostMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited ${mostMs} ms in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
