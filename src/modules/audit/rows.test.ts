import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { CoreRow } from '../../core/program.ts'
import { canonical } from './canonical.ts'
import { textOf } from './record.ts'
import { sealerOf } from './rows.ts'

const AT = Date.parse('2026-11-24T12:00:00.007Z')

test('a row of the ledger is canonical text with every column that is not null, whatever stands in it', () => {
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  const value = fc.oneof(text, fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constant(null))
  const columns = fc.dictionary(fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_]{0,8}$/), value)
  fc.assert(
    fc.property(columns, text, fc.nat(), fc.jsonValue({ stringUnit: 'binary' }), (others, kind, row, tags) => {
      const all = { ...others, kind, row, at: AT, tags: JSON.stringify(tags), calls: null, writtenAt: AT, entry: null }
      const { seq: _, ...columnsOfRow } = all as Record<string, string | number | null>
      const made = textOf(12, sealerOf('ledger', columnsOfRow as CoreRow)(columnsOfRow as CoreRow))
      const record = JSON.parse(made) as Record<string, unknown>
      assert.equal(canonical(record as never), made)
      const { seq, at, kind: own, entry, row: number, tags: found, writtenAt, ...rest } = record
      assert.deepEqual([seq, at, own, entry], ['12', '2026-11-24T12:00:00.007Z', 'ledger', kind.toWellFormed()])
      assert.deepEqual([number, writtenAt], [String(row), '2026-11-24T12:00:00.007Z'])
      assert.ok(found !== undefined)
      const SPECIAL = new Set(['kind', 'row', 'at', 'tags', 'calls', 'writtenAt', 'entry'])
      const wanted = Object.entries(columnsOfRow)
        .filter(([name, each]) => each !== null && !SPECIAL.has(name))
        .map(([name, each]) => [name, typeof each === 'string' ? each.toWellFormed() : each === 0 ? 0 : each])
      assert.deepEqual(Object.fromEntries(Object.entries(rest)), Object.fromEntries(wanted))
    }),
    { numRuns: 500 },
  )
})
