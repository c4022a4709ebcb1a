import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HttpError, ReplyReader } from './http1-reader.ts'

interface Seen {
  status: number
  headers: Record<string, string>
  body: string
  ended: boolean
  reusable: boolean
  error?: string
}

/** Feeds the pieces to a reader, then the end of the connection where `closes`. */
function read(pieces: readonly Buffer[], closes = false, method = 'POST'): Seen {
  const seen: Seen = { status: 0, headers: {}, body: '', ended: false, reusable: false }
  const reader = new ReplyReader(
    {
      onBegin() {},
      onHead(status, headers) {
        Object.assign(seen, { status, headers })
      },
      onBytes(chunk) {
        seen.body += chunk.toString('latin1')
      },
      onEnd() {
        seen.ended = true
      },
    },
    64 * 1024,
  )
  reader.expect(method)
  try {
    for (const piece of pieces) reader.push(piece)
    if (closes) reader.end()
  } catch (error) {
    assert.ok(error instanceof HttpError)
    seen.error = error.code
  }
  seen.reusable = reader.reusable
  return seen
}
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

const REPLIES: Readonly<Record<string, readonly [reply: string, body: string, closes?: true]>> = {
  length: ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello', 'hello'],
  chunks: [
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: r\r\n\r\n',
    'hello',
  ],
  'until it closes': ['HTTP/1.1 200 OK\r\n\r\nhello', 'hello', true],
  'no reason': ['HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n', ''],
  interim: ['HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello', 'hello'],
  'no content': ['HTTP/1.1 204 No Content\r\n\r\n', ''],
}

for (const [name, [reply, body, closes]] of Object.entries(REPLIES)) {
  test(`T46: a reply with ${name} is the same at every cut in two, and byte by byte`, () => {
    const whole = bytes(reply)
    const cuts = Array.from({ length: whole.length - 1 }, (_, at) => [
      whole.subarray(0, at + 1),
      whole.subarray(at + 1),
    ])
    const expected = read([whole], closes)
    assert.equal(expected.body, body)
    assert.ok(expected.ended)
    for (const pieces of [...cuts, Array.from(whole, (byte) => Buffer.from([byte]))]) {
      assert.deepEqual(read(pieces, closes), expected)
    }
  })
}

test('a reply to HEAD has no body, whatever its length says', () => {
  const { ended, body } = read([bytes('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n')], false, 'HEAD')
  assert.deepEqual([ended, body], [true, ''])
})

test('a connection is kept where both sides may go on', () => {
  const kept = (head: string) => read([bytes(`${head}\r\ncontent-length: 0\r\n\r\n`)]).reusable
  assert.equal(kept('HTTP/1.1 200 OK'), true)
  assert.equal(kept('HTTP/1.1 200 OK\r\nconnection: Close'), false)
  assert.equal(kept('HTTP/1.1 200 OK\r\nconnection: x, close'), false)
  assert.equal(kept('HTTP/1.0 200 OK'), false)
  assert.equal(kept('HTTP/1.0 200 OK\r\nconnection: keep-alive'), true)
})

const WRONG: Readonly<Record<string, readonly [reply: string, code: HttpError['code']]>> = {
  'not HTTP': ['SSH-2.0-x\r\n', 'HTTP_FORM'],
  'another version': ['HTTP/2.0 200 OK\r\n\r\n', 'HTTP_FORM'],
  'a bare line feed': ['HTTP/1.1 200 OK\ncontent-length: 0\n\n\r\n\r\n', 'HTTP_FORM'],
  'a folded header': ['HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n', 'HTTP_FORM'],
  'space before a colon': ['HTTP/1.1 200 OK\r\nx : a\r\n\r\n', 'HTTP_FORM'],
  'a header without a name': ['HTTP/1.1 200 OK\r\n: a\r\n\r\n', 'HTTP_FORM'],
  'a NUL in a header': ['HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n', 'HTTP_FORM'],
  'two lengths': ['HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na', 'HTTP_CONTRADICTION'],
  'a negative length': ['HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n', 'HTTP_CONTRADICTION'],
  'a length and chunks': [
    'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
    'HTTP_CONTRADICTION',
  ],
  'another coding': ['HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n', 'HTTP_FORM'],
  'chunks in HTTP/1.0': ['HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', 'HTTP_FORM'],
  'a chunk that is too long': ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n', 'HTTP_FORM'],
  'an endless chunk size': [`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${'0'.repeat(2_000)}`, 'HTTP_FORM'],
  'a change of protocol': ['HTTP/1.1 101 Switching\r\n\r\n', 'HTTP_FORM'],
  'an endless head': [`HTTP/1.1 200 OK\r\nx: ${'a'.repeat(70_000)}`, 'HTTP_TOO_LARGE'],
  'more than was asked for': ['HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab', 'HTTP_FORM'],
}

for (const [name, [reply, code]] of Object.entries(WRONG)) {
  test(`T43, T44: ${name} is refused, whole and byte by byte`, () => {
    assert.equal(read([bytes(reply)]).error, code)
    assert.equal(read(Array.from(bytes(reply), (byte) => Buffer.from([byte]))).error, code)
  })
}

test('T42: an end amid head, chunks or a counted body is no end', () => {
  for (const reply of [
    '',
    'HTTP/1.1 2',
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n',
  ]) {
    assert.equal(read([bytes(reply)], true).error, 'HTTP_INCOMPLETE', reply)
  }
})

test('T43: any bytes at all end in a reply, in a named complaint, or in waiting for more', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 })),
      fc.constantFrom('', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'),
      (pieces, start) => {
        const { error } = read([bytes(start), ...pieces.map((piece) => Buffer.from(piece))], true)
        assert.ok(error === undefined || error.startsWith('HTTP_'))
      },
    ),
    { numRuns: 500 },
  )
})

test('a header from an attacker is data, not a prototype', () => {
  const { headers } = read([bytes('HTTP/1.1 200 OK\r\n__proto__: x\r\nconstructor: y\r\ncontent-length: 0\r\n\r\n')])
  assert.equal(Object.getPrototypeOf(headers), Object.prototype)
  assert.ok(!Object.hasOwn(headers, '__proto__'))
})
