import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JsonValue } from '../../core/request.ts'
import { canonical } from './canonical.ts'

const FIXTURES = join(process.env.STOCKYARD_FIXTURES ?? '../shared', 'fixtures/jcs')
const missing = existsSync(FIXTURES) ? false : `no vectors in ${FIXTURES} (set STOCKYARD_FIXTURES)`

test('T38: the vectors of RFC 8785, byte for byte', { skip: missing }, () => {
  const files = globSync(join(FIXTURES, 'input/*.json'))
  assert.ok(files.length >= 6)
  for (const file of files) {
    const wanted = readFileSync(join(FIXTURES, 'output', basename(file)))
    const made = canonical(JSON.parse(readFileSync(file, 'utf8')) as JsonValue)
    assert.ok(Buffer.from(made).equals(wanted), `${basename(file)}: ${made}`)
    const hex = readFileSync(join(FIXTURES, 'outhex', basename(file).replace('.json', '.txt')), 'utf8')
    assert.equal(Buffer.from(made).toString('hex'), hex.replaceAll(/\s/g, ''))
  }
})

test('T38: numbers and what JSON cannot say', () => {
  const numbers: [number, string][] = [
    [-0, '0'],
    [1e21, '1e+21'],
    [1e-7, '1e-7'],
    [333333333.3333333, '333333333.3333333'],
    [Number.MIN_VALUE, '5e-324'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
  ]
  for (const [value, text] of numbers) assert.equal(canonical(value), text)
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, '\ud800', { '\udc00': 1 }, 1n, undefined, [undefined]]) {
    assert.throws(() => canonical(bad as never), TypeError)
  }
})

test('T38: 100,000 random values: parsed back equal, the same text however the keys were ordered', () => {
  const shuffled = (value: JsonValue): JsonValue =>
    Array.isArray(value)
      ? value.map(shuffled)
      : value !== null && typeof value === 'object'
        ? Object.fromEntries(
            Object.entries(value)
              .map(([k, v]) => [k, shuffled(v as JsonValue)] as const)
              .reverse(),
          )
        : value
  let seen = 0
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' }), (value) => {
      seen++
      const text = canonical(value as JsonValue)
      const back = JSON.parse(text) as JsonValue
      assert.deepEqual(back, JSON.parse(JSON.stringify(value)))
      assert.equal(canonical(back), text)
      assert.equal(canonical(shuffled(value as JsonValue)), text)
      assert.doesNotMatch(text, /[\n\r]/)
    }),
    { numRuns: 100_000 },
  )
  assert.equal(seen, 100_000)
})
