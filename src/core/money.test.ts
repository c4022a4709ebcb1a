import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { divideRounded, formatDollars, nanoUsdOf, parseDollars } from './money.ts'

test('an amount survives being written as dollars and read again', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), (n) => {
      assert.equal(parseDollars(formatDollars(nanoUsdOf(n))), n)
    }),
  )
})

test('dollars are written whole, exactly and without trailing zeros', () => {
  const written: [bigint, string][] = [
    [0n, '0'],
    [1n, '0.000000001'],
    [123_000n, '0.000123'],
    [1_500_000_000n, '1.5'],
    [-1n, '-0.000000001'],
    [90_071_992_547_409_930_000_000_001n, '90071992547409930.000000001'],
  ]
  for (const [nanos, text] of written) assert.equal(formatDollars(nanoUsdOf(nanos)), text)
})

test('what is no plain decimal with at most nine places is refused', () => {
  const refused = [
    '',
    '.5',
    '5.',
    '1e3',
    '1,5',
    ' 1',
    '1 ',
    '+1',
    '0x10',
    'NaN',
    '0.0000000001',
    '1234567890123',
    '1\n',
  ]
  for (const text of refused) assert.throws(() => parseDollars(text), RangeError, JSON.stringify(text))
})

test('division rounds half away from zero', () => {
  const cases: [bigint, bigint, bigint][] = [
    [1n, 2n, 1n],
    [-1n, 2n, -1n],
    [5n, 2n, 3n],
    [-5n, 2n, -3n],
    [1n, 3n, 0n],
    [2n, 3n, 1n],
    [-2n, 3n, -1n],
    [499_999n, 1_000_000n, 0n],
    [500_000n, 1_000_000n, 1n],
  ]
  for (const [numerator, denominator, result] of cases) assert.equal(divideRounded(numerator, denominator), result)
})

test('the rounded quotient is never further than half a unit from the exact one', () => {
  const numerators = fc.bigInt({ min: -(10n ** 24n), max: 10n ** 24n })
  fc.assert(
    fc.property(numerators, fc.bigInt({ min: 1n, max: 10n ** 9n }), (numerator, denominator) => {
      const off = divideRounded(numerator, denominator) * denominator - numerator
      assert.ok(2n * (off < 0n ? -off : off) <= denominator)
    }),
  )
})
