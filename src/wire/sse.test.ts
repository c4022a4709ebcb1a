import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { GatewayError } from '../core/errors.ts'
import type { Frame } from '../core/reply.ts'
import { coalesce, formatSse, isComment, MAX_EVENT_BYTES, type SseEvent, SseFramer, sseData } from './sse.ts'

function frame(chunks: readonly Buffer[]): Frame[] {
  const framer = new SseFramer('test')
  const frames = chunks.flatMap((chunk) => framer.push(chunk))
  const rest = framer.end()
  return rest ? [...frames, rest] : frames
}

const pieces = (bytes: Buffer, size: number): Buffer[] => {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) chunks.push(Buffer.from(bytes.subarray(at, at + size)))
  return chunks
}

const events = (frames: readonly Frame[]): SseEvent[] =>
  frames.filter((f) => !isComment(f.bytes)).map((f) => sseData(f.bytes))

const joined = (frames: readonly Frame[]): Buffer => Buffer.concat(frames.map((f) => f.bytes))

/** An independent reader after the letter of the specification, for whole texts. */
function read(text: string): SseEvent[] {
  const found: SseEvent[] = []
  let data: string[] = []
  let event: string | undefined
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  for (const [index, line] of lines.entries()) {
    const last = index === lines.length - 1
    if (line === '' || last) {
      if (last && line !== '') take(line)
      if (data.length > 0)
        found.push(event === undefined ? { data: data.join('\n') } : { data: data.join('\n'), event })
      data = []
      event = undefined
    } else take(line)
  }
  function take(line: string): void {
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
    if (field === 'data') data.push(value ?? '')
    if (field === 'event') event = value ?? ''
  }
  return found
}

const SAMPLE = [
  'data: {"text":"héllo 🌍"}\n\n',
  ': a comment\n\n',
  'event: delta\r\ndata: {"a":1}\r\n\r\n',
  'id: 7\rdata: one\rdata: two\r\r',
  'retry: 10\ndata:no space\n\n',
  'data\n\n',
  'event: x\rdata: mixed\n\r\n',
  'data: last\r\n\r',
  '\ndata: [DONE]\n\n',
].join('')

test('T46: LF, CRLF, CR, mixes, comments, id and retry are read as the specification says', () => {
  const bytes = Buffer.from(SAMPLE)
  assert.deepEqual(events(frame([bytes])), read(SAMPLE))
  assert.deepEqual(events(frame([bytes])).at(-1), { data: '[DONE]' })
})

test('A47: every two-way split and one-byte chunks give the same events and the same bytes', () => {
  const bytes = Buffer.from(SAMPLE)
  const whole = events(frame([bytes]))
  for (let at = 0; at <= bytes.length; at++) {
    const frames = frame([Buffer.from(bytes.subarray(0, at)), Buffer.from(bytes.subarray(at))])
    assert.deepEqual(events(frames), whole, `split at ${at}`)
    assert.deepEqual(joined(frames), bytes)
  }
  assert.deepEqual(events(frame(pieces(bytes, 1))), whole)
})

test('A47: random streams of random line ends in random chunks read like the whole text', () => {
  const end = fc.constantFrom('\n', '\r\n', '\r')
  const line = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }).map((s) => `data: ${s.replace(/[\r\n]/g, '')}`),
    fc.constantFrom('', 'event: e', ': c', 'data', 'id: 1', 'datax: no', 'data:  two spaces'),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(line, end), { maxLength: 24 }), fc.integer({ min: 1, max: 9 }), (lines, size) => {
      const text = lines.map(([l, e]) => l + e).join('')
      const bytes = Buffer.from(text)
      const frames = frame(pieces(bytes, size))
      assert.deepEqual(joined(frames), bytes)
      assert.deepEqual(events(frames), read(text))
    }),
    { numRuns: 500 },
  )
})

test('T46: recorded streams written with each line end read the same at chunk sizes 1, 7 and whole', (t) => {
  const root = join(process.env.STOCKYARD_FIXTURES ?? '../shared', 'fixtures/recorded')
  let files: string[]
  try {
    files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.chunks.txt'))
  } catch {
    t.skip(`no recordings at ${root}`)
    return
  }
  assert.ok(files.length > 50)
  for (const file of files) {
    const payloads = readFileSync(join(root, file), 'utf8')
      .split('\n')
      .filter((l) => l !== '')
      .slice(0, 40)
    const expected = payloads.map((data) => ({ data }))
    for (const end of ['\n', '\r\n', '\r']) {
      const bytes = Buffer.from(payloads.map((data) => `data: ${data}${end}${end}`).join(''))
      assert.deepEqual(events(frame([bytes])), expected, file)
      assert.deepEqual(events(frame(pieces(bytes, 7))), expected, file)
      if (bytes.length < 20_000) assert.deepEqual(events(frame(pieces(bytes, 1))), expected, file)
    }
  }
})

test('T46: a BOM at the very start does not hide the first event', () => {
  const bytes = Buffer.from('\uFEFFdata: first\n\ndata: second\n\n')
  for (const size of [1, 2, bytes.length]) {
    assert.deepEqual(events(frame(pieces(bytes, size))), [{ data: 'first' }, { data: 'second' }])
  }
})

test('T47: invalid UTF-8 is replaced in the text and untouched in the bytes', () => {
  const bytes = Buffer.concat([Buffer.from('data: a'), Buffer.from([0xff, 0xc3]), Buffer.from('b\n\n')])
  const [only] = frame(pieces(bytes, 1))
  assert.equal(sseData(only?.bytes as Buffer).data, 'a\uFFFD\uFFFDb')
  assert.deepEqual(only?.bytes, bytes)
})

test('a frame is handed out as soon as its blank line is there, CR at the end of a chunk included', () => {
  const framer = new SseFramer()
  assert.equal(framer.push(Buffer.from('data: x\r\n\r')).length, 1)
  const next = framer.push(Buffer.from('\ndata: y\n\n'))
  assert.deepEqual(
    next.map((f) => f.bytes.toString()),
    ['\n', 'data: y\n\n'],
  )
})

test('events inside one chunk are views of it; nothing is copied', () => {
  const chunk = Buffer.from('data: a\n\ndata: b\n\n')
  const frames = new SseFramer().push(chunk)
  assert.equal(frames.length, 2)
  for (const f of frames) assert.equal(f.bytes.buffer, chunk.buffer)
  const [merged, ...others] = coalesce(frames, () => true)
  assert.equal(others.length, 0)
  assert.equal(merged?.buffer, chunk.buffer)
  assert.deepEqual(merged, chunk)
})

test('coalesce leaves out what is not kept and merges only neighbors', () => {
  const framer = new SseFramer()
  const frames = [
    ...framer.push(Buffer.from('data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\nda')),
    ...framer.push(Buffer.from('ta: 5\n\ndata: 6\n\n')),
  ]
  const buffers = coalesce(frames, (f) => !f.bytes.includes('2'))
  assert.deepEqual(
    buffers.map((b) => b.toString()),
    ['data: 1\n\n', 'data: 3\n\ndata: 4\n\n', 'data: 5\n\n', 'data: 6\n\n'],
  )
  assert.deepEqual(
    coalesce([], () => true),
    [],
  )
})

test('T44: an event that never ends is cut at the limit', () => {
  const framer = new SseFramer('slow', 1000)
  framer.push(Buffer.alloc(900, 'x'))
  assert.throws(
    () => framer.push(Buffer.alloc(200, 'x')),
    (error) =>
      error instanceof GatewayError && error.code === 'upstream_invalid' && /"slow".*1000 bytes/.test(error.message),
  )
})

test('T44: a 64 MB line is refused after 8 MiB with little memory', () => {
  const framer = new SseFramer('big')
  const before = process.memoryUsage().rss
  const chunk = Buffer.alloc(65_536, 'x')
  let pushed = 0
  assert.throws(() => {
    for (; pushed < 64 * 1024 * 1024; pushed += chunk.length) framer.push(chunk)
  }, /8388608 bytes/)
  assert.ok(pushed <= MAX_EVENT_BYTES)
  assert.ok(process.memoryUsage().rss - before < 32 * 1024 * 1024)
})

test('one-byte chunks of a large event cost linear time', () => {
  const cost = (bytes: number): number => {
    const framer = new SseFramer()
    const one = Buffer.from('x')
    const started = process.cpuUsage()
    for (let i = 0; i < bytes; i++) framer.push(one)
    const used = process.cpuUsage(started)
    return used.user + used.system
  }
  cost(50_000)
  const small = cost(100_000)
  const large = cost(800_000)
  assert.ok(large < small * 24, `800,000 bytes took ${large} µs, 100,000 took ${small} µs`)
})

test('a missing delimiter at the end: the rest is a frame of its own', () => {
  const framer = new SseFramer()
  assert.equal(framer.push(Buffer.from('data: a\n\ndata: b')).length, 1)
  assert.deepEqual(sseData(framer.end()?.bytes as Buffer), { data: 'b' })
  assert.equal(framer.end(), undefined)
})

test('a frame without a data line is a comment, whatever else is in it', () => {
  for (const text of ['\n', ': ping\n\n', 'event: x\n\n', 'id: 1\r\n\r\n', 'datax: 1\n\n', '']) {
    assert.equal(isComment(Buffer.from(text)), true, JSON.stringify(text))
  }
  for (const text of ['data: 1\n\n', 'data\n\n', ': c\ndata:\n\n', 'event: x\rdata: y\r\r', '\uFEFFdata: 1\n\n']) {
    assert.equal(isComment(Buffer.from(text)), false, JSON.stringify(text))
  }
})

test('what formatSse writes, sseData reads', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme' }),
      fc.option(fc.stringMatching(/^[a-z]{1,8}$/), { nil: undefined }),
      (data, name) => {
        const frames = frame([Buffer.from(formatSse(data, name))])
        assert.equal(frames.length, 1)
        const read = sseData((frames[0] as Frame).bytes)
        assert.equal(read.data, data.replace(/\r\n|\r/g, '\n'))
        assert.equal(read.event, name)
      },
    ),
  )
  assert.equal(formatSse('a\nb', 'e'), 'event: e\ndata: a\ndata: b\n\n')
})
