/**
 * Forms above the body limit: they go on as they come, no faster than the upstream takes them and no further than their own
 * limit, and are booked and owned like any other call.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { Type } from 'typebox'
import { defineModule, type Module } from '../../src/core/module.ts'
import { exchange, type Running, type RunningOptions, runGateway, until } from '../running/index.ts'

const MIB = 1024 * 1024
const LIMITS = { bodyLimitBytes: MIB, uploadLimitBytes: 64 * MIB }
const BOUNDARY = 'of-this-test'
const field = (name: string, value: string) =>
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
const FILE = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: application/octet-stream\r\n\r\n`
const END = `\r\n--${BOUNDARY}--\r\n`
const TYPE = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }

/** Bytes without a pattern, with near-boundaries among them. */
function bytesOf(size: number, seed = 7): Buffer {
  const bytes = Buffer.alloc(size)
  let state = seed
  for (let i = 0; i < size; i += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    bytes.writeInt32LE(state, i)
  }
  for (let i = 1_000; i + 40 < size; i += 65_521) bytes.write(`\r\n--${BOUNDARY.slice(0, -1)}\r\n`, i)
  return bytes
}

interface Seen {
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly hash: string
  readonly bytes: number
}
interface Store {
  readonly seen: Seen[]
  /** Bytes that have come of the upload that is under way. */
  bytes: number
  aborted: number
  /** Reads nothing while it is set. */
  pausing: boolean
  answer: { status: number; body: object } | undefined
  resume(): void
  url: string
}

/** A vendor that takes files, reads no faster than it is told to, and keeps none of it. */
async function store(t: TestContext): Promise<Store> {
  let current: http.IncomingMessage | undefined
  const state: Store = {
    seen: [],
    bytes: 0,
    aborted: 0,
    pausing: false,
    answer: undefined,
    url: '',
    resume() {
      state.pausing = false
      current?.resume()
    },
  }
  const server = http.createServer((request, response) => {
    current = request
    state.bytes = 0
    const hash = createHash('sha256')
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    if (state.answer) {
      answer(state.answer.status, state.answer.body)
      return
    }
    request.on('data', (chunk: Buffer) => {
      state.bytes += chunk.length
      hash.update(chunk)
      if (state.pausing) request.pause()
    })
    request.on('error', () => {})
    request.on('close', () => {
      if (!request.complete) state.aborted++
    })
    request.on('end', () => {
      state.seen.push({
        path: request.url ?? '',
        headers: request.headers,
        hash: hash.digest('hex'),
        bytes: state.bytes,
      })
      answer(200, { id: `file-${state.seen.length}`, object: 'file', bytes: state.bytes, text: 'heard' })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return state
}

async function start(t: TestContext, options: RunningOptions = {}): Promise<{ gateway: Running; vendor: Store }> {
  const vendor = await store(t)
  const gateway = await runGateway(t, { ...LIMITS, ...options, upstreams: {} })
  await gateway.admin('PUT', 'upstreams/openai', {
    provider: 'openai',
    baseUrl: vendor.url,
    credentials: [{ id: 'main', secret: 'sk-of-this-test' }],
  })
  return { gateway, vendor }
}

interface Sending {
  readonly request: http.ClientRequest
  readonly answer: Promise<{ status: number; json: { id: string; error: { message: string; code: string } } }>
}
function begin(url: string, headers: Record<string, string | number>): Sending {
  const request = http.request(url, { method: 'POST', agent: false, headers: { ...TYPE, ...headers } })
  const answer = new Promise<Awaited<Sending['answer']>>((resolve, reject) => {
    request.on('error', reject)
    request.on('response', (response) => {
      let text = ''
      response.on('data', (part) => (text += part))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, json: JSON.parse(text) }))
    })
  })
  answer.catch(() => {})
  return { request, answer }
}

test('a form above the body limit passes whole, of known and unknown length, with its fields before or behind', async (t) => {
  const { gateway, vendor } = await start(t)
  const file = bytesOf(3 * MIB + 20)
  for (const [name, before, behind] of [
    ['before', field('purpose', 'batch'), ''],
    ['behind', '', field('purpose', 'batch')],
  ] as const) {
    const tail = behind === '' ? END : `\r\n${behind}--${BOUNDARY}--\r\n`
    const body = Buffer.concat([Buffer.from(before + FILE), file, Buffer.from(tail)])
    const hash = createHash('sha256').update(body).digest('hex')
    for (const path of ['/v1/files', '/openai/v1/files', '/v1/uploads/upload_x/parts']) {
      // What nobody made is nobody's, however large what comes for it is.
      const status = path.includes('upload_x') ? 404 : 200
      const known = await gateway.send(path, body, TYPE)
      assert.equal(known.status, status, `${name} ${path}: ${known.text}`)
      const { request, answer } = begin(gateway.url + path, { 'transfer-encoding': 'chunked' })
      for (let at = 0; at < body.length; at += 65_537) request.write(body.subarray(at, at + 65_537))
      request.end()
      // Whoever answers early may have hung up before all was sent.
      if (status === 200) assert.equal((await answer).status, 200, `${name} ${path}`)
    }
    for (const seen of vendor.seen) assert.deepEqual([seen.hash, seen.bytes], [hash, body.length], name)
    assert.equal(vendor.seen.length, 4)
    assert.deepEqual(
      vendor.seen.map(({ headers }) => [headers['content-length'], headers['transfer-encoding']]),
      [1, 2].flatMap(() => [
        [String(body.length), undefined],
        [undefined, 'chunked'],
      ]),
    )
    vendor.seen.length = 0
  }
  const rows = await gateway.usage('upstream')
  assert.equal(rows.find((row) => (row.group as { upstream: string }).upstream === 'openai')?.attempts, 8)
  // It is its maker's, and nobody else's.
  await gateway.admin('PUT', 'proxy-key', { key: 'sk-the-other-tenant-of-this-test' })
  const other = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }
  assert.equal((await exchange(`${gateway.url}/v1/files/file-1`, 'GET', undefined, other)).status, 404)
  assert.notEqual((await exchange(`${gateway.url}/v1/files/file-1`, 'GET')).status, 404)
})

test('a model’s name is read and changed where it stands before the file, and refused behind it', async (t) => {
  const { gateway, vendor } = await start(t)
  await gateway.admin('PUT', 'modules/aliases', { mode: 'enforce' })
  await gateway.admin('PUT', 'aliases/ears', { model: 'openai/whisper-1' })
  const file = bytesOf(2 * MIB)
  const body = (before: string, behind = '') =>
    Buffer.concat([Buffer.from(before + FILE), file, Buffer.from(`\r\n${behind}--${BOUNDARY}--\r\n`)])
  const heard = await gateway.send('/v1/audio/transcriptions', body(field('model', 'ears')), TYPE)
  assert.equal(heard.status, 200, heard.text)
  const written = body('', '')
  const expected = Buffer.concat([Buffer.from(field('model', 'whisper-1')), written])
  assert.equal(vendor.seen[0]?.hash, createHash('sha256').update(expected).digest('hex'))
  assert.equal(vendor.seen[0]?.bytes, expected.length)
  for (const before of ['', field('model', 'ears')]) {
    const late = begin(`${gateway.url}/v1/audio/transcriptions`, {})
    late.request.end(body(before, field('model', 'openai/gpt-4o-transcribe')))
    const { status, json } = await late.answer
    assert.equal(status, 400)
    assert.match(json.error.message, /"model" must stand before the file/)
  }
  await until(() => vendor.aborted === 2, 'both are hung up on')
  assert.equal(vendor.seen.length, 1)
})

test('nobody is asked for more than the other side takes, and a client that leaves ends it', async (t) => {
  const { gateway, vendor } = await start(t)
  vendor.pausing = true
  const whole = 60 * MIB
  const piece = bytesOf(MIB)
  const { request, answer } = begin(`${gateway.url}/v1/files`, { 'transfer-encoding': 'chunked' })
  request.write(field('purpose', 'batch') + FILE)
  let written = 0
  const writing = (async () => {
    while (written < whole && !request.destroyed) {
      const flows = request.write(piece)
      written += piece.length
      if (!flows) await once(request, 'drain')
    }
  })()
  await until(() => vendor.bytes > 0, 'the vendor has the beginning')
  let last = -1
  await until(async () => {
    const still = written === last
    last = written
    await new Promise((resolve) => setTimeout(resolve, 250))
    return still
  }, 'the client waits')
  assert.ok(written < whole, `${written} bytes were taken for a vendor that takes none`)
  vendor.resume()
  await writing
  request.end(END)
  assert.equal((await answer).status, 200)
  assert.ok((vendor.seen[0]?.bytes ?? 0) > whole)

  vendor.bytes = 0
  const leaving = begin(`${gateway.url}/v1/files`, { 'content-length': 50 * MIB })
  leaving.request.on('error', () => {})
  leaving.request.write(field('purpose', 'batch') + FILE)
  for (let i = 0; i < 4; i++) leaving.request.write(piece)
  await until(() => vendor.bytes > MIB && vendor.seen.length === 1, 'it is on its way')
  leaving.request.destroy()
  await until(() => vendor.aborted === 1, 'the vendor is hung up on')
  await until(async () => (await gateway.usage('upstream'))[0]?.attempts === 2, 'both are booked')
})

test('the limit is kept on the way, and so is a vendor’s early no', async (t) => {
  const { gateway, vendor } = await start(t, { uploadLimitBytes: 3 * MIB })
  const declared = begin(`${gateway.url}/v1/files`, { 'content-length': 3 * MIB + 1 })
  declared.request.write(FILE)
  assert.equal((await declared.answer).status, 413)
  declared.request.destroy()
  assert.equal(vendor.seen.length + vendor.aborted, 0)
  const piece = bytesOf(MIB)
  const growing = begin(`${gateway.url}/v1/files`, { 'transfer-encoding': 'chunked' })
  growing.request.write(FILE)
  for (let i = 0; i < 3; i++) growing.request.write(piece)
  growing.request.write('x')
  const { status, json } = await growing.answer
  assert.equal(status, 413)
  assert.match(json.error.message, /3145728 bytes/)
  growing.request.destroy()
  await until(() => vendor.aborted === 1, 'the vendor is hung up on')
  assert.equal(vendor.seen.length, 0)
  vendor.answer = { status: 400, body: { error: { message: 'no such purpose', type: 'invalid_request_error' } } }
  const refused = begin(`${gateway.url}/v1/files`, { 'content-length': 2 * MIB })
  refused.request.write(field('purpose', 'x') + FILE)
  refused.request.write(piece)
  const early = await refused.answer
  assert.equal(early.status, 400)
  refused.request.destroy()
  // JSON is taken in whole, and has the smaller limit.
  const large = await gateway.send('/v1/moderations', { input: 'x'.repeat(MIB) })
  assert.equal(large.status, 413)
})

test('a module that reads requests gets them whole, up to the smaller limit', async (t) => {
  const reads = defineModule({
    id: 'reads-of-this-test',
    summary: 'Reads.',
    layer: 'content',
    default: 'enforce',
    fault: 'closed',
    settings: Type.Object({}, { additionalProperties: false }),
    start: () => ({ transform: (_x, request) => request }),
  }) as unknown as Module
  const { gateway, vendor } = await start(t, { extraModules: [reads] })
  const body = (size: number) => Buffer.concat([Buffer.from(FILE), bytesOf(size), Buffer.from(END)])
  assert.equal((await gateway.send('/v1/files', body(MIB / 2), TYPE)).status, 200)
  const large = begin(`${gateway.url}/v1/files`, { 'content-length': 2 * MIB })
  large.request.write(FILE)
  assert.equal((await large.answer).status, 413)
  large.request.destroy()
  assert.equal(vendor.seen.length, 1)
})
