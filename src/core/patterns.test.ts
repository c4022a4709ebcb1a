import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { anyMatches, isWithin, matches, passesAll } from './patterns.ts'

const text = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 6 })
const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*'), maxLength: 6 })
const asRegExp = (written: string) => new RegExp(`^${written.replace(/[.]/g, '\\.').replace(/\*/g, '.*')}$`, 's')

test('a star stands for anything, and nothing else has a meaning', () => {
  fc.assert(
    fc.property(pattern, text, (p, t) => assert.equal(matches(p, t), asRegExp(p).test(t))),
    { numRuns: 2_000 },
  )
})

test('A7: what is within lets nothing through that the outer does not', () => {
  fc.assert(
    fc.property(
      fc.array(pattern, { maxLength: 3 }),
      fc.array(pattern, { maxLength: 3 }),
      text,
      (inner, outer, name) => {
        if (isWithin(inner, outer) && anyMatches(inner, name)) assert.ok(anyMatches(outer, name))
      },
    ),
    { numRuns: 3_000 },
  )
})

test('absent is everything', () => {
  assert.ok(isWithin(undefined, undefined))
  assert.ok(isWithin(['a'], undefined))
  assert.ok(!isWithin(undefined, ['*']))
  assert.ok(isWithin(['gpt-4o*'], ['gpt-*']))
  assert.ok(!isWithin(['gpt-*'], ['gpt-4o*']))
  assert.equal(passesAll([undefined]), undefined)
  const both = passesAll([['a*'], undefined, ['*b']])
  assert.deepEqual(
    ['ab', 'axb', 'ac', 'xb'].map((name) => both?.(name)),
    [true, true, false, false],
  )
})
