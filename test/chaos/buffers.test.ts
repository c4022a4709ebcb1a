/**
 * What the gateway holds of an answer that its client stopped reading: counted to the byte, as what came out of the kernel
 * on the upstream's side less what went into it on the client's.
 */
import assert from 'node:assert/strict'
import diagnostics from 'node:diagnostics_channel'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { certificate } from '../../src/wire/loopback.ts'
import { type Running, runGateway, until } from '../running/index.ts'
import { startUpstream, type Upstream } from '../upstream/index.ts'
import { attemptsIn } from './spawned.ts'

const MOST_HELD = 256 * 1024
const TEXT = 'tell me everything'
const messages = [{ role: 'user', content: TEXT }]

const CLIENTS: Readonly<Record<string, (model: string) => readonly [path: string, body: object]>> = {
  'chat completions': (model) => ['/v1/chat/completions', { model, stream: true, messages }],
  responses: (model) => ['/v1/responses', { model, stream: true, input: TEXT }],
  messages: (model) => ['/v1/messages', { model, stream: true, max_tokens: 99, messages }],
  generateContent: (model) => [
    `/v1beta/models/${model}:streamGenerateContent?alt=sse`,
    { contents: [{ role: 'user', parts: [{ text: TEXT }] }] },
  ],
}
const MODELS: Readonly<Record<string, string>> = {
  openai: 'gpt-4o-mini',
  anthropic: 'claude-haiku-4-5',
  gemini: 'gemini-2.5-flash',
}
const RELAYS: Readonly<Record<string, string>> = { messages: 'anthropic', generateContent: 'gemini' }

interface Pair {
  readonly client: net.Socket
  /** The gateway's two ends. */
  readonly towardsClient: net.Socket
  readonly towardsUpstream: net.Socket
}

/** Sockets that anything in this process opened, the last one at the end. */
const opened: net.Socket[] = []
for (const module of [net, tls] as { connect: (...args: never[]) => net.Socket }[]) {
  const { connect } = module
  module.connect = (...args) => {
    const socket = connect(...args)
    opened.push(socket)
    return socket
  }
}

async function asked(gateway: Running, upstream: Upstream, path: string, body: object): Promise<Pair> {
  const { hostname, port, host, protocol } = new URL(gateway.url)
  const before = upstream.ledger.rows.length
  let towardsClient: net.Socket | undefined
  const begun = (message: unknown): void => {
    const { socket } = message as { socket: net.Socket }
    if (socket.localPort === Number(port)) towardsClient = socket
  }
  const place = { host: hostname, port: Number(port) }
  const client = protocol === 'https:' ? tls.connect({ ...place, rejectUnauthorized: false }) : net.connect(place)
  client.on('error', () => {})
  await once(client, protocol === 'https:' ? 'secureConnect' : 'connect')
  opened.length = 0
  diagnostics.subscribe('http.server.request.start', begun)
  try {
    const text = JSON.stringify(body)
    client.write(
      `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
    )
    await until(() => upstream.ledger.rows.length > before, `${path} is upstream`)
  } finally {
    diagnostics.unsubscribe('http.server.request.start', begun)
  }
  const towardsUpstream = opened.at(-1)
  assert.ok(towardsClient && towardsUpstream)
  return { client, towardsClient, towardsUpstream }
}

/** How many bytes of the upstream's make one of the client's, up to where a format says the whole text once more. */
async function ratioOf(gateway: Running, upstream: Upstream, path: string, body: object): Promise<number> {
  const { client, towardsUpstream } = await asked(gateway, upstream, path, body)
  let text = ''
  client.setEncoding('latin1').on('data', (piece) => (text += piece))
  await until(() => client.closed && towardsUpstream.closed, 'all came')
  const repeated = text.indexOf('event: response.output_text.done')
  return towardsUpstream.bytesRead / (repeated < 0 ? text.length : repeated)
}

for (const secure of [false, true]) {
  test(`T54: at most 256 KiB of a stream are held for a reader that stops, in every dialect${secure ? ', over TLS' : ''}`, async (t) => {
    const own = certificate('localhost')
    const gateway = await runGateway(t, { stallMs: 3_000, ...(secure ? { tls: own } : {}) })
    const upstream = secure ? await startUpstream({ tls: own }) : gateway.upstream
    if (secure) t.after(() => upstream.close())
    for (const provider of Object.keys(MODELS)) {
      await gateway.admin('PUT', `upstreams/${provider}`, {
        provider,
        baseUrl: `${upstream.url.replace('127.0.0.1', 'localhost')}${provider === 'openai' ? '/v1' : ''}`,
        credentials: [{ id: 'main', secret: 'sk-test-secret' }],
        ...(secure ? { network: { ca: own.cert } } : {}),
      })
    }
    const pairs: Pair[] = []
    for (const [name, ask] of Object.entries(CLIENTS)) {
      for (const provider of ['openai', RELAYS[name] ?? 'anthropic']) {
        const model = `${provider}/${MODELS[provider]}`
        const isRelay = provider === (RELAYS[name] ?? (name === 'messages' ? '' : 'openai'))
        const ratio = isRelay ? 1 : await ratioOf(gateway, upstream, ...ask(`${model}+keepalive=0+size=400k`))
        const pair = await asked(gateway, upstream, ...ask(`${model}+size=8m`))
        pair.client.pause()
        pairs.push(pair)
        let taken = -1
        await until(async () => {
          const before = taken
          taken = pair.towardsUpstream.bytesRead
          await sleep(100)
          return taken === before
        }, 'it is paused')
        const { bytesWritten, writableLength } = pair.towardsClient
        const held = taken - bytesWritten * ratio + writableLength
        assert.ok(taken > 1024 * 1024, `${name}, ${provider}: it was paused, and not done`)
        assert.ok(held < MOST_HELD, `${name}, ${provider}: ${Math.round(held / 1024)} KiB`)
      }
    }
    await until(() => pairs.every(({ towardsUpstream }) => towardsUpstream.destroyed), 'all are cut off')
    for (const { client } of pairs) client.destroy()
    await until(
      () => attemptsIn(gateway.dataDir).filter(({ outcome }) => outcome === 'client_cancel').length === pairs.length,
      'all are booked',
    )
  })
}
