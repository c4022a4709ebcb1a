/**
 * When a time over which money is added up begins and ends. Calendar windows are those of a named time zone, so a day may have 23 or 25
 * hours; nothing is ever reset: what counts is what the ledger holds between the two instants.
 */
import type { Window } from './directory.ts'

export interface Span {
  /** Milliseconds since 1970: from (inclusive) to (exclusive). */
  readonly from: number
  readonly to: number
}

type Calendar = Extract<Window, { readonly kind: 'calendar' }>

/** The window of the calendar that an instant lies in. Throws RangeError on a time zone that does not exist. */
export function spanOf(window: Calendar, at: number): Span {
  const zone = window.timeZone ?? 'UTC'
  const now = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone)
  if (window.unit === 'minute' || window.unit === 'hour') return onTheClock(now, UNIT_MS[window.unit])
  const [first, after] = daysOf(now.toPlainDate(), window)
  // The start of a day is its first instant, which is not midnight where the clocks are put forward at midnight.
  return {
    from: first.toZonedDateTime(zone).epochMilliseconds,
    to: after.toZonedDateTime(zone).epochMilliseconds,
  }
}

const UNIT_MS = { minute: 60_000, hour: 3_600_000 } as const

/** From one full hour of the zone's clocks to the next, or to where they are put forward or back: it may be by half an hour. */
function onTheClock(now: Temporal.ZonedDateTime, unitMs: number): Span {
  const zone = now.timeZoneId
  const at = now.epochMilliseconds
  const offset = now.offsetNanoseconds / 1e6
  let from = Math.floor((at + offset) / unitMs) * unitMs - offset
  let to = from + unitMs
  const offsetAt = (ms: number): number =>
    Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(zone).offsetNanoseconds / 1e6
  if (offsetAt(from) !== offset)
    from = now.add({ nanoseconds: 1 }).getTimeZoneTransition('previous')?.epochMilliseconds ?? from
  if (offsetAt(to - 1) !== offset) to = now.getTimeZoneTransition('next')?.epochMilliseconds ?? to
  return { from, to }
}

const MONTHS = { month: 1, quarter: 3, year: 12 } as const

/**
 * The first day, and the first of the next. `startDay`: of a week 1 (Monday, unless told) to 7, of anything longer the day of the
 * month, 1 to 31, where a month that is shorter begins with its last.
 */
function daysOf(today: Temporal.PlainDate, { unit, startDay = 1 }: Calendar): [Temporal.PlainDate, Temporal.PlainDate] {
  if (unit === 'day' || unit === 'hour' || unit === 'minute') return [today, today.add({ days: 1 })]
  if (unit === 'week') {
    const first = today.subtract({ days: (today.dayOfWeek - startDay + 7) % 7 })
    return [first, first.add({ weeks: 1 })]
  }
  const months = MONTHS[unit]
  const month = today.with({ month: today.month - ((today.month - 1) % months), day: 1 })
  const start = (after: number): Temporal.PlainDate => month.add({ months: after }).with({ day: startDay })
  return Temporal.PlainDate.compare(start(0), today) <= 0 ? [start(0), start(months)] : [start(-months), start(0)]
}

/** What is wrong with a window, in words; undefined if nothing is. */
export function problemOf(window: Window): string | undefined {
  if (window.kind !== 'calendar') return undefined
  const { unit, startDay } = window
  if (startDay !== undefined && (unit === 'day' || unit === 'hour' || unit === 'minute')) {
    return `a ${unit} has no "startDay"; weeks, months, quarters and years have`
  }
  if (unit === 'week' && startDay !== undefined && startDay > 7) {
    return `the "startDay" of a week is 1 (Monday) to 7 (Sunday), not ${startDay}`
  }
  try {
    spanOf(window, 0)
    return undefined
  } catch {
    return `there is no time zone "${window.timeZone}"; write one as Europe/Berlin`
  }
}
