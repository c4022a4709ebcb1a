import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { GatewayError } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/request.ts'
import { byteLength, parseJsonObject, type ScannedObject, scanJson, spliceJson } from './json.ts'

function refusal(body: string | Buffer): GatewayError {
  try {
    parseJsonObject(Buffer.from(body as string))
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error))
    assert.equal(error.kind.status, 400)
    return error
  }
  assert.fail(`accepted: ${body.toString().slice(0, 100)}`)
}

const at = (body: Buffer, scan: ScannedObject, name: string): string | undefined => {
  const field = scan.byName.get(name)
  return field && body.toString('utf8', field.valueStart, field.valueEnd)
}

test('the scanner finds each top-level field, its bytes and its kind', () => {
  const body = Buffer.from(
    '{ "model" : "gpt-4o", "messages":[{"role":"user","content":"a \\" ] } b"}],\n"n":-1.5e3,"stream":true,"x":null,"o":{"a":[]}}',
  )
  const scan = scanJson(body)
  assert.deepEqual(
    scan.fields.map((f) => [f.name, f.kind]),
    [
      ['model', 'string'],
      ['messages', 'array'],
      ['n', 'number'],
      ['stream', 'boolean'],
      ['x', 'null'],
      ['o', 'object'],
    ],
  )
  assert.equal(at(body, scan, 'model'), '"gpt-4o"')
  assert.equal(at(body, scan, 'messages'), '[{"role":"user","content":"a \\" ] } b"}]')
  assert.equal(at(body, scan, 'n'), '-1.5e3')
  assert.equal(at(body, scan, 'o'), '{"a":[]}')
  assert.equal(scan.empty, false)
  assert.equal(scan.insertAt, 1)
  assert.equal(scanJson(Buffer.from(' { } ')).empty, true)
})

test('T58: names are compared decoded, so an escaped duplicate of a field is seen', () => {
  const body = Buffer.from('{"model":"a","mod\\u0065l":"b","x":1,"model":"c"}')
  const scan = scanJson(body)
  assert.deepEqual(scan.duplicates, ['model'])
  assert.equal(scan.fields.length, 4)
  assert.equal(at(body, scan, 'model'), '"c"')
})

test('T58: __proto__ is data: nothing is polluted', () => {
  const { json, scan } = parseJsonObject(
    Buffer.from('{"__proto__":{"x":1},"a":{"__proto__":{"x":2},"constructor":{"prototype":{"x":3}}}}'),
  )
  assert.ok(Object.hasOwn(json, '__proto__'))
  assert.equal(Object.getPrototypeOf(json), Object.prototype)
  assert.equal(({} as { x?: number }).x, undefined)
  assert.ok(scan.byName.has('__proto__'))
  const body = Buffer.from('{"a":1}')
  const edits = JSON.parse('{"__proto__":{"x":1}}') as JsonObject
  assert.equal(Buffer.concat(spliceJson(body, scanJson(body), edits)).toString(), '{"__proto__":{"x":1},"a":1}')
})

test('what is no JSON object is refused in clear words', () => {
  const cases: readonly (readonly [string | Buffer, string, RegExp])[] = [
    ['', 'invalid_request', /empty/],
    ['  \n ', 'invalid_request', /empty/],
    ['[1]', 'invalid_request', /not an array/],
    ['"x"', 'invalid_request', /not a string/],
    ['12', 'invalid_request', /not a number/],
    ['null', 'invalid_json', /does not start with/],
    ['model=gpt', 'invalid_json', /does not start with/],
    ['\uFEFF{}', 'invalid_json', /byte order mark/],
    [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'invalid_json', /not valid UTF-8/],
    [Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]), 'invalid_json', /not valid UTF-8/],
    ['{"a":1', 'invalid_json', /comma or a closing brace.*line 1, column 7/],
    ['{"a":1,}', 'invalid_json', /field name/],
    ['{"a" 1}', 'invalid_json', /colon/],
    ['{"a":}', 'invalid_json', /value is missing/],
    ['{a:1}', 'invalid_json', /field name/],
    ["{'a':1}", 'invalid_json', /field name/],
    ['{"a":tru}', 'invalid_json', /misspelled/],
    ['{"a":1}{', 'invalid_json', /follows the end/],
    ['{"a":"b', 'invalid_json', /string does not end/],
    ['{"a":"b\\"}', 'invalid_json', /string does not end/],
    ['{"a":[1,2', 'invalid_json', /ends too early/],
    ['{"a":[1}]}', 'invalid_json', /line 1, column 9/],
    ['{"a":\n[1,,2]}', 'invalid_json', /unexpected token/],
    ['{"a":01}', 'invalid_json', /./],
    ['{"a":"\n"}', 'invalid_json', /control character/],
    ['{"\\x":1}', 'invalid_json', /invalid escape/],
    ['{"a":"\\x"}', 'invalid_json', /escape/],
    ['{"a":NaN}', 'invalid_json', /value is missing/],
    ['{"a":[NaN]}', 'invalid_json', /./],
    ['{"a":1 /* c */}', 'invalid_json', /./],
    ['{"a":1}\0', 'invalid_json', /follows/],
  ]
  for (const [body, code, message] of cases) {
    const error = refusal(body)
    assert.equal(error.code, code, `${body}: ${error.message}`)
    assert.match(error.message, message)
  }
})

test('errors echo next to nothing of the body', () => {
  const secret = 'sk-secret-0123456789-0123456789-0123456789-0123456789'
  for (const body of [`{"a":"${secret}" x}`, `{"a":[${secret}]}`, `{"a":["${secret}",]}`, `{"${secret}" 1}`, secret]) {
    const { message } = refusal(body)
    for (let i = 0; i + 12 <= secret.length; i++) assert.ok(!message.includes(secret.slice(i, i + 12)), message)
  }
})

test('T58: bombs are refused within 50 ms', () => {
  const million = 1_000_000
  const bombs: Readonly<Record<string, string>> = {
    'depth of arrays': `{"a":${'['.repeat(million)}${']'.repeat(million)}}`,
    'depth of objects': `{"a":${'{"a":'.repeat(million)}1${'}'.repeat(million)}}`,
    'depth, unclosed': `{"a":${'['.repeat(million)}`,
    'depth at the top': '['.repeat(million),
    'top-level keys': `{${Array.from({ length: million }, (_, i) => `"k${i}":1`).join(',')}}`,
    'nested keys': `{"a":{${Array.from({ length: million }, (_, i) => `"k${i}":1`).join(',')}}}`,
    'one key, repeated': `{${'"a":1,'.repeat(million)}"a":1}`,
    elements: `{"a":[${'0,'.repeat(million)}0]}`,
    'empty arrays': `{"a":[${'[],'.repeat(million)}0]}`,
    'a long integer': `{"a":${'9'.repeat(100_000)}}`,
    'a long nested number': `{"a":[1e${'9'.repeat(100_000)}]}`,
    'a long fraction': `{"a":0.${'1'.repeat(100_000)}}`,
    'escaped quotes, unclosed': `{"a":"${'\\"'.repeat(4 * million)}`,
    'backslashes, unclosed': `{"a":"${'\\'.repeat(8 * million)}`,
    'blank space': ' '.repeat(8 * million),
    'line feeds': `{"a":${'\n'.repeat(8 * million)}`,
    commas: `{"a":[${','.repeat(8 * million)}`,
  }
  for (const [name, text] of Object.entries(bombs)) {
    const body = Buffer.from(text)
    // The thread's own time, and the best of three: what the scan costs, not what else runs on this machine.
    const runs = [1, 2, 3].map(() => {
      const before = process.threadCpuUsage()
      refusal(body)
      const { user, system } = process.threadCpuUsage(before)
      return (user + system) / 1000
    })
    assert.ok(Math.min(...runs) < 50, `${name}: ${runs.map(Math.round)} ms`)
  }
})

test('T63: the largest bodies that are accepted stay affordable', () => {
  const messages = Array.from({ length: 10_000 }, (_, i) => `{"role":"user","content":"message ${i} \\"quoted\\""}`)
  const body = Buffer.from(`{"model":"m","messages":[${messages.join(',')}],"s":"${'é'.repeat(5_000_000)}"}`)
  const before = process.threadCpuUsage()
  const { json } = parseJsonObject(body)
  assert.equal((json.messages as JsonValue[]).length, 10_000)
  const { user, system } = process.threadCpuUsage(before)
  assert.ok(user + system < 500_000)
})

test('long strings with quotes and backslashes anywhere are hopped exactly', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom('"', '\\', '\\"', 'é', '🌍'), fc.string({ minLength: 0, maxLength: 90 })), {
        maxLength: 30,
      }),
      (parts) => {
        const value = { s: parts.join(''), next: 1 }
        const body = Buffer.from(JSON.stringify(value))
        const scan = scanJson(body)
        assert.equal(at(body, scan, 's'), JSON.stringify(value.s))
        assert.equal(at(body, scan, 'next'), '1')
      },
    ),
    { numRuns: 500 },
  )
})

const names = fc.oneof(
  fc.constantFrom('model', 'stream', 'a', '__proto__', 'é"\\', ''),
  fc.string({ unit: 'binary', maxLength: 4 }),
)
const values = fc.jsonValue({ maxDepth: 3, noUnicodeString: false }) as fc.Arbitrary<JsonValue>
const space = fc.constantFrom('', ' ', '\n\t', '\r\n')

/** The same object in JSON with random space between the top-level tokens. */
const written = fc
  .uniqueArray(fc.tuple(names, values), { selector: ([name]) => name, maxLength: 6 })
  .chain((fields) =>
    fc.tuple(
      fc.constant(fields),
      fc.array(space, { minLength: fields.length * 4 + 3, maxLength: fields.length * 4 + 3 }),
    ),
  )
  .map(([fields, gaps]) => {
    let gap = 0
    const next = (): string => gaps[gap++] ?? ''
    const inside = fields.map(
      ([n, v]) => `${next()}${JSON.stringify(n)}${next()}:${next()}${JSON.stringify(v)}${next()}`,
    )
    return { fields, text: `${next()}{${inside.join(',')}${fields.length === 0 ? next() : ''}}${next()}` }
  })

test('for random objects and edits, the spliced body parses to the edited object', () => {
  fc.assert(
    fc.property(
      written,
      fc.uniqueArray(fc.tuple(names, fc.option(values, { nil: undefined })), { selector: ([n]) => n, maxLength: 5 }),
      ({ fields, text }, changes) => {
        const body = Buffer.from(text)
        const before = Buffer.from(body)
        const edits = Object.fromEntries(changes) as Record<string, JsonValue | undefined>
        const expected = new Map<string, JsonValue>(fields)
        for (const [name, value] of Object.entries(edits)) {
          if (value === undefined) expected.delete(name)
          else expected.set(name, value)
        }
        const buffers = spliceJson(body, scanJson(body), edits)
        const result = Buffer.concat(buffers)
        assert.equal(byteLength(buffers), result.length)
        // Through JSON once more, because -0 is 0 there.
        const plain = JSON.parse(JSON.stringify(Object.fromEntries(expected))) as JsonObject
        assert.deepEqual(JSON.parse(result.toString()), plain)
        assert.deepEqual(body, before, 'the body itself is untouched')
      },
    ),
    { numRuns: 1000 },
  )
})

test('bytes outside the edited fields are identical, space, escapes and number spelling included', () => {
  const body = Buffer.from('{ "b" : 1.0e0 ,\n "model":"x" , "u":"\\u00e9\\/", "z":[ 1 , 2 ] }')
  const scan = scanJson(body)
  const splice = (edits: Record<string, JsonValue | undefined>): string =>
    Buffer.concat(spliceJson(body, scan, edits)).toString()
  assert.equal(splice({}), body.toString())
  assert.equal(splice({ model: 'yy' }), body.toString().replace('"x"', '"yy"'))
  assert.equal(splice({ model: undefined }), '{ "b" : 1.0e0 , "u":"\\u00e9\\/", "z":[ 1 , 2 ] }')
  assert.equal(splice({ b: undefined }), '{ "model":"x" , "u":"\\u00e9\\/", "z":[ 1 , 2 ] }')
  assert.equal(splice({ z: undefined }), '{ "b" : 1.0e0 ,\n "model":"x" , "u":"\\u00e9\\/" }')
  assert.equal(splice({ b: undefined, model: undefined, u: undefined }), '{ "z":[ 1 , 2 ] }')
  assert.equal(splice({ n: 1, model: undefined }), '{"n":1, "b" : 1.0e0 , "u":"\\u00e9\\/", "z":[ 1 , 2 ] }')
  const inside = (b: Buffer): boolean =>
    b.buffer === body.buffer && b.byteOffset >= body.byteOffset && b.byteOffset < body.byteOffset + body.length
  const views = spliceJson(body, scan, { model: 'yy' }).filter(inside)
  assert.equal(views.length, 2)
})

test('removing every field and adding one gives an object of one', () => {
  for (const text of ['{"a":1,"b":2}', '{"a":1}', '{}', ' { "a" : 1 } ']) {
    const body = Buffer.from(text)
    const result = Buffer.concat(spliceJson(body, scanJson(body), { a: undefined, b: undefined, c: [1] })).toString()
    assert.deepEqual(JSON.parse(result), { c: [1] })
  }
})

test('what the scanner accepts and finds agrees with JSON.parse on random texts', () => {
  const token = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"',
    '\\',
    '1',
    '-',
    '1.5',
    'true',
    'null',
    ' ',
    'e',
  )
  fc.assert(
    fc.property(fc.array(token, { maxLength: 12 }), (parts) => {
      const text = `{"k":${parts.join('')}}`
      let parsed: JsonObject | undefined
      try {
        parsed = JSON.parse(text) as JsonObject
      } catch {
        parsed = undefined
      }
      if (parsed === undefined) refusal(text)
      else {
        const body = Buffer.from(text)
        const result = parseJsonObject(body)
        assert.deepEqual(result.json, parsed)
        for (const [name, value] of Object.entries(parsed)) {
          assert.deepEqual(JSON.parse(at(body, result.scan, name) as string), value)
        }
      }
    }),
    { numRuns: 2000 },
  )
})
