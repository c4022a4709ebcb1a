/** Calendar windows where calendars are difficult: daylight saving, month ends, odd offsets, weeks that begin elsewhere. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { CalendarUnit } from './directory.ts'
import { problemOf, spanOf } from './windows.ts'

const HOUR = 3_600_000
const at = (text: string) => Date.parse(text)
const calendar = (unit: CalendarUnit, timeZone = 'UTC', startDay?: number) => ({
  kind: 'calendar' as const,
  unit,
  timeZone,
  ...(startDay === undefined ? {} : { startDay }),
})
const hours = ({ from, to }: { from: number; to: number }) => (to - from) / HOUR
const shown = ({ from, to }: { from: number; to: number }) => [new Date(from).toISOString(), new Date(to).toISOString()]

test('A32: a day is that of its time zone: 24 hours, 23 when clocks go forward, 25 when they go back', () => {
  const berlin = calendar('day', 'Europe/Berlin')
  assert.deepEqual(shown(spanOf(berlin, at('2026-06-15T22:30:00Z'))), [
    '2026-06-15T22:00:00.000Z',
    '2026-06-16T22:00:00.000Z',
  ])
  assert.equal(hours(spanOf(berlin, at('2026-03-29T12:00:00Z'))), 23)
  assert.equal(hours(spanOf(berlin, at('2026-10-25T12:00:00Z'))), 25)
  // UTC+8, where users saw their daily budgets reset at eight in the morning.
  assert.deepEqual(shown(spanOf(calendar('day', 'Asia/Shanghai'), at('2026-01-31T15:59:59.999Z'))), [
    '2026-01-30T16:00:00.000Z',
    '2026-01-31T16:00:00.000Z',
  ])
})

test('A32: where clocks are put forward at midnight, the day begins at one', () => {
  const span = spanOf(calendar('day', 'Africa/Cairo'), at('2026-04-24T12:00:00Z'))
  assert.equal(new Date(span.from).toISOString(), '2026-04-23T22:00:00.000Z')
  assert.equal(hours(span), 23)
})

test('A32: an hour is an hour, also the one that comes twice, and in zones of half an hour', () => {
  const berlin = calendar('hour', 'Europe/Berlin')
  assert.deepEqual(shown(spanOf(berlin, at('2026-10-25T00:30:00Z'))), [
    '2026-10-25T00:00:00.000Z',
    '2026-10-25T01:00:00.000Z',
  ])
  assert.deepEqual(shown(spanOf(berlin, at('2026-10-25T01:30:00Z'))), [
    '2026-10-25T01:00:00.000Z',
    '2026-10-25T02:00:00.000Z',
  ])
  assert.deepEqual(shown(spanOf(calendar('hour', 'Asia/Kolkata'), at('2026-05-01T10:10:00Z'))), [
    '2026-05-01T09:30:00.000Z',
    '2026-05-01T10:30:00.000Z',
  ])
})

test('A32: weeks begin on Monday unless told, months may begin on another day', () => {
  const sunday = at('2026-11-22T12:00:00Z')
  assert.deepEqual(shown(spanOf(calendar('week'), sunday)), ['2026-11-16T00:00:00.000Z', '2026-11-23T00:00:00.000Z'])
  assert.deepEqual(shown(spanOf(calendar('week', 'UTC', 7), sunday)), [
    '2026-11-22T00:00:00.000Z',
    '2026-11-29T00:00:00.000Z',
  ])
  assert.deepEqual(shown(spanOf(calendar('month', 'UTC', 15), at('2026-03-14T23:59:59Z'))), [
    '2026-02-15T00:00:00.000Z',
    '2026-03-15T00:00:00.000Z',
  ])
  assert.deepEqual(shown(spanOf(calendar('year', 'UTC', 6), at('2026-01-05T00:00:00Z'))), [
    '2025-01-06T00:00:00.000Z',
    '2026-01-06T00:00:00.000Z',
  ])
})

test('A32: a month that begins on its 31st begins with the last day of those that have none', () => {
  const days = ['2028-01-31', '2028-02-29', '2028-03-31', '2028-04-30', '2028-05-31'].map(
    (day) => `${day}T00:00:00.000Z`,
  )
  for (let n = 0; n + 1 < days.length; n++) {
    const [from, to] = [days[n] as string, days[n + 1] as string]
    for (const now of [at(from), at(to) - 1])
      assert.deepEqual(shown(spanOf(calendar('month', 'UTC', 31), now)), [from, to])
  }
  assert.deepEqual(shown(spanOf(calendar('quarter', 'UTC', 31), at('2026-04-15'))), [
    '2026-01-31T00:00:00.000Z',
    '2026-04-30T00:00:00.000Z',
  ])
})

test('A32: months and quarters end where they end, leap years included', () => {
  assert.deepEqual(shown(spanOf(calendar('month'), at('2028-02-29T23:59:59.999Z'))), [
    '2028-02-01T00:00:00.000Z',
    '2028-03-01T00:00:00.000Z',
  ])
  assert.deepEqual(shown(spanOf(calendar('quarter', 'America/New_York'), at('2026-12-31T23:00:00Z'))), [
    '2026-10-01T04:00:00.000Z',
    '2027-01-01T05:00:00.000Z',
  ])
})

test('A32: where clocks change by half an hour, the hour that they cut ends there', () => {
  const lordHowe = calendar('hour', 'Australia/Lord_Howe')
  assert.deepEqual(shown(spanOf(lordHowe, at('2026-04-04T15:10:00Z'))), [
    '2026-04-04T15:00:00.000Z',
    '2026-04-04T15:30:00.000Z',
  ])
  assert.deepEqual(shown(spanOf(lordHowe, at('2026-10-03T15:45:00Z'))), [
    '2026-10-03T15:30:00.000Z',
    '2026-10-03T16:00:00.000Z',
  ])
})

/** When clocks change in one of the zones below. */
const CHANGES = [
  '2026-03-29T01:00Z',
  '2026-10-25T01:00Z',
  '2026-11-01T06:00Z',
  '2026-04-04T15:00Z',
  '2026-10-03T15:30Z',
  '2026-04-23T22:00Z',
  '2026-04-04T14:00Z',
  '2026-09-26T14:00Z',
]

test('A32, T24: every instant lies in exactly one window, and windows follow each other without a gap', () => {
  const units: CalendarUnit[] = ['minute', 'hour', 'day', 'week', 'month', 'quarter', 'year']
  const zones = [
    'UTC',
    'Europe/Berlin',
    'America/New_York',
    'Asia/Kolkata',
    'Africa/Cairo',
    'Australia/Lord_Howe',
    'Pacific/Chatham',
  ]
  const instant = fc.oneof(
    fc.integer({ min: at('2020-01-01'), max: at('2035-01-01') }),
    fc
      .tuple(fc.constantFrom(...CHANGES), fc.integer({ min: -3, max: 3 }), fc.integer({ min: -2, max: 2 }))
      .map(([change, halves, off]) => at(change) + halves * (HOUR / 2) + off),
  )
  fc.assert(
    fc.property(
      fc.constantFrom(...units),
      fc.constantFrom(...zones),
      fc.integer({ min: 1, max: 31 }),
      instant,
      (unit, zone, startDay, now) => {
        const window = calendar(unit, zone, unit === 'week' ? ((startDay - 1) % 7) + 1 : startDay)
        const span = spanOf(window, now)
        assert.ok(span.from <= now && now < span.to)
        assert.deepEqual(spanOf(window, span.from), span)
        assert.deepEqual(spanOf(window, span.to - 1), span)
        assert.equal(spanOf(window, span.to).from, span.to)
        assert.equal(spanOf(window, span.from - 1).to, span.from)
      },
    ),
    { numRuns: 1_500 },
  )
})

test('what no calendar has is a problem to report: a time zone, a day of a week, a first day of a day', () => {
  assert.match(problemOf(calendar('week', 'UTC', 9)) ?? '', /1 \(Monday\) to 7 \(Sunday\), not 9/)
  assert.match(problemOf(calendar('hour', 'UTC', 2)) ?? '', /a hour has no "startDay"/)
  assert.equal(problemOf(calendar('month', 'UTC', 31)), undefined)
  assert.equal(problemOf(calendar('day', 'Europe/Berlin')), undefined)
  assert.match(problemOf(calendar('day', 'Mars/Olympus')) ?? '', /no time zone "Mars\/Olympus"/)
})
