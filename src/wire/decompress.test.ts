import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import type { IncomingReply } from '../core/egress.ts'
import { callTo, egressFor, eventually, failureOf, serve, text } from './loopback.ts'

const CODINGS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: zlib.gzipSync,
  'x-gzip': zlib.gzipSync,
  deflate: zlib.deflateSync,
  br: zlib.brotliCompressSync,
  zstd: zlib.zstdCompressSync,
}
const BODY = JSON.stringify({ choices: [{ message: { content: 'héllo 🌍 '.repeat(5_000) } }] })

/** Answers `/<coding>/<size of the pieces>` with BODY; `raw` after the coding means deflate without its envelope. */
const packed: Parameters<typeof serve>[1] = async (request, response) => {
  const [, coding = '', size = ''] = (request.url ?? '').split('/')
  const name = coding.replace('-raw', '')
  const pack = coding === 'deflate-raw' ? zlib.deflateRawSync : CODINGS[name]
  const bytes = pack?.(Buffer.from(BODY)) ?? Buffer.from(BODY)
  response.writeHead(200, { 'content-encoding': name, 'content-type': 'application/json' })
  for (let at = 0; at < bytes.length; at += Number(size)) response.write(bytes.subarray(at, at + Number(size)))
  response.end()
}

test('A50: gzip, deflate (with and without envelope), br and zstd are unpacked, and their headers dropped', async (t) => {
  const origin = await serve(t, packed)
  const egress = egressFor(t)
  for (const coding of [...Object.keys(CODINGS), 'deflate-raw', 'identity', 'GZIP']) {
    const reply = await egress.send(callTo(`${origin}/${coding.toLowerCase()}/100000`))
    assert.deepEqual(Object.keys(reply.headers).sort(), ['content-type', 'date'])
    assert.equal((await reply.collect(1_000_000)).toString(), BODY, coding)
  }
  for (const coding of Object.keys(CODINGS)) {
    const pieces: Buffer[] = []
    for await (const piece of (await egress.send(callTo(`${origin}/${coding}/1`))).chunks) pieces.push(piece)
    assert.equal(Buffer.concat(pieces).toString(), BODY, `${coding} in pieces of one byte`)
  }
})

const STREAMS = {
  gzip: () => zlib.createGzip(),
  deflate: () => zlib.createDeflate(),
  br: () => zlib.createBrotliCompress(),
  zstd: () => zlib.createZstdCompress(),
} as const

test('A50: a packed stream is delivered event by event, as the server flushes it', async (t) => {
  let more = (): void => {}
  const origin = await serve(t, (request, response) => {
    const coding = (request.url ?? '').slice(1) as keyof typeof STREAMS
    const encoder = STREAMS[coding]()
    response.writeHead(200, { 'content-encoding': coding })
    encoder.pipe(response)
    encoder.write('data: 1\n\n')
    encoder.flush()
    more = () => encoder.end('data: 2\n\n')
  })
  const egress = egressFor(t)
  for (const coding of Object.keys(STREAMS)) {
    const reply = await egress.send(callTo(`${origin}/${coding}`, { streamed: true }))
    const chunks = reply.chunks[Symbol.asyncIterator]()
    assert.equal((await chunks.next()).value?.toString(), 'data: 1\n\n', coding)
    more()
    assert.equal((await chunks.next()).value?.toString(), 'data: 2\n\n', coding)
    assert.equal((await chunks.next()).done, true)
  }
})

test('an empty body is empty, whatever its coding', async (t) => {
  const origin = await serve(
    t,
    (_request, response) => void response.writeHead(204, { 'content-encoding': 'br' }).end(),
  )
  assert.equal(await text(await egressFor(t).send(callTo(origin))), '')
})

test('T48: nested and unknown codings are refused before a byte is unpacked', async (t) => {
  let closed = 0
  const origin = await serve(t, (request, response) => {
    request.socket.on('close', () => closed++)
    response.writeHead(200, { 'content-encoding': decodeURIComponent((request.url ?? '').slice(1)) }).write('x')
  })
  const egress = egressFor(t)
  const codings = [
    'gzip, gzip',
    'gzip,br',
    'br,br,br,br,br',
    'identity, gzip, zstd',
    'compress',
    'constructor',
    'aes128',
  ]
  for (const coding of codings) {
    const error = await failureOf(egress.send(callTo(`${origin}/${encodeURIComponent(coding)}`)))
    assert.equal(error.code, 'upstream_invalid')
    assert.match(error.message, coding.includes(',') ? /more than once/ : /not known/)
  }
  await eventually(() => closed === codings.length)
})

test('what is cut short is incomplete, what is broken is invalid', async (t) => {
  const origin = await serve(t, (request, response) => {
    const [, coding = '', how] = (request.url ?? '').split('/')
    const bytes = CODINGS[coding]?.(Buffer.from(BODY)) ?? Buffer.alloc(0)
    response.writeHead(200, { 'content-encoding': coding })
    response.end(how === 'cut' ? bytes.subarray(0, bytes.length - 9) : Buffer.alloc(500, 0xfe))
  })
  const egress = egressFor(t)
  for (const coding of ['gzip', 'deflate', 'br', 'zstd']) {
    const cut = await failureOf(egress.send(callTo(`${origin}/${coding}/cut`)).then(text))
    assert.equal(cut.code, 'upstream_incomplete', `${coding}: ${cut.message}`)
    const broken = await failureOf(egress.send(callTo(`${origin}/${coding}/broken`)).then(text))
    assert.equal(broken.code, 'upstream_invalid', `${coding}: ${broken.message}`)
    assert.match(broken.message, new RegExp(`broken ${coding}`))
  }
})

/** Sixteen million zeros, packed; gzip and zstd allow any number of such pieces in a row. */
const ZEROS = Buffer.alloc(16 * 1024 * 1024)
const BOMBS: Readonly<Record<string, readonly [piece: Buffer, times: number]>> = {
  gzip: [zlib.gzipSync(ZEROS), 640],
  zstd: [zlib.zstdCompressSync(ZEROS), 2_000],
  br: [
    zlib.brotliCompressSync(Buffer.alloc(256 * 1024 * 1024), { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } }),
    1,
  ],
  deflate: [zlib.deflateSync(Buffer.alloc(256 * 1024 * 1024), { level: 1 }), 1],
}

for (const [coding, [piece, times]] of Object.entries(BOMBS)) {
  test(`T48: a ${coding} bomb is cut, read as a stream and as a body, and takes little memory`, async (t) => {
    let closed = 0
    const origin = await serve(t, (request, response) => {
      let gone = false
      request.socket.on('close', () => {
        gone = true
        closed++
      })
      response.writeHead(200, { 'content-encoding': coding })
      let left = times
      const write = (): void => {
        while (left-- > 0 && !gone) if (!response.write(piece)) return void response.once('drain', write)
        if (!gone) response.end()
      }
      write()
    })
    const egress = egressFor(t)
    const read = async (reply: IncomingReply): Promise<number> => {
      let bytes = 0
      try {
        for await (const chunk of reply.chunks) bytes += chunk.length
      } catch (error) {
        assert.match(String(error), /unpacks to far too much/)
        return bytes
      }
      assert.fail('the bomb went off')
    }
    const before = process.memoryUsage().rss
    const bytes = await read(await egress.send(callTo(origin, { streamed: true })))
    const grown = process.memoryUsage().rss - before
    assert.ok(bytes <= 32 * 1024 * 1024, `${bytes} bytes came out`)
    assert.ok(grown < 32 * 1024 * 1024, `memory grew by ${grown} bytes`)
    const collected = await failureOf(egress.send(callTo(origin)).then((reply) => reply.collect(1024 * 1024)))
    assert.match(collected.message, /more than 1048576 bytes/)
    if (times !== 1) await eventually(() => closed === 2)
  })
}

test('a client that leaves amid a packed stream closes the connection', async (t) => {
  let closed = false
  const origin = await serve(t, (request, response) => {
    request.socket.on('close', () => {
      closed = true
    })
    const encoder = zlib.createGzip()
    response.writeHead(200, { 'content-encoding': 'gzip' })
    encoder.pipe(response)
    encoder.write('data: 1\n\n')
    encoder.flush()
  })
  const client = new AbortController()
  const reply = await egressFor(t).send(callTo(origin, { signal: client.signal }))
  const chunks = reply.chunks[Symbol.asyncIterator]()
  await chunks.next()
  const outcome = failureOf(chunks.next())
  client.abort()
  assert.equal((await outcome).code, 'client_closed')
  await eventually(() => closed)
})
