import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CHUNKED, callTo, egressFor, failureOf, serveRaw, text } from './loopback.ts'

const ANSWERS: readonly (readonly [name: string, bytes: string, code: string])[] = [
  ['garbage', '\x00\xff\x17garbage\r\n\r\n', 'upstream_invalid'],
  ['an SSH banner', 'SSH-2.0-OpenSSH_9.2\r\n', 'upstream_invalid'],
  ['a header of 100 KB', `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(100_000)}\r\n\r\n`, 'upstream_invalid'],
  ['20,000 headers', `HTTP/1.1 200 OK\r\n${'x-a: abc\r\n'.repeat(20_000)}\r\n`, 'upstream_invalid'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok', 'upstream_invalid'],
  ['length and chunks', `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n${CHUNKED.slice(17)}`, 'upstream_invalid'],
  ['a broken chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n', 'upstream_invalid'],
  ['an unwanted upgrade', 'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n', 'upstream_invalid'],
  ['a body that ends early', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok', 'upstream_incomplete'],
  ['chunks that end early', CHUNKED, 'upstream_incomplete'],
  [
    'chunks that end early on a connection to be closed',
    CHUNKED.replace('\r\n', '\r\nconnection: close\r\n'),
    'upstream_incomplete',
  ],
  ['headers that end early', 'HTTP/1.1 200 OK\r\nx-a: b', 'upstream_incomplete'],
  ['nothing', '', 'upstream_unreachable'],
]

for (const [name, bytes, code] of ANSWERS) {
  test(`T42, T43, T44: ${name} is ${code}, and nothing of it is in the error`, async (t) => {
    const origin = await serveRaw(t, (socket) => void socket.end(Buffer.from(bytes, 'latin1')))
    const error = await failureOf(egressFor(t).send(callTo(origin)).then(text))
    assert.equal(error.code, code, error.message)
    assert.doesNotMatch(JSON.stringify([error.message, error.details, error.cause]), /garbage|OpenSSH|aaaa/)
  })
}

test('T42: a reset amid a stream comes after the bytes that arrived', async (t) => {
  const origin = await serveRaw(t, (socket) => {
    socket.write(CHUNKED)
    setTimeout(() => socket.resetAndDestroy(), 50)
  })
  const reply = await egressFor(t).send(callTo(origin))
  const chunks = reply.chunks[Symbol.asyncIterator]()
  assert.equal((await chunks.next()).value?.toString(), 'first')
  assert.equal((await failureOf(chunks.next())).code, 'upstream_incomplete')
})

test('a body without length on a closing connection is whole when it closes', async (t) => {
  const origin = await serveRaw(t, (socket) => void socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'))
  assert.equal(await text(await egressFor(t).send(callTo(origin))), 'all of it')
})
