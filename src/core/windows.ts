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
  const first = firstDay(now.toPlainDate(), window)
  const after = first.add(LENGTH[window.unit])
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

const LENGTH = {
  day: { days: 1 },
  week: { weeks: 1 },
  month: { months: 1 },
  quarter: { months: 3 },
  year: { years: 1 },
} as const

/** `startDay`: of a week 1 (Monday, unless told) to 7, of anything longer the day of the month, 1 to 28. */
function firstDay(today: Temporal.PlainDate, { unit, startDay = 1 }: Calendar): Temporal.PlainDate {
  if (unit === 'day' || unit === 'hour' || unit === 'minute') return today
  if (unit === 'week') return today.subtract({ days: (today.dayOfWeek - startDay + 7) % 7 })
  const month = unit === 'year' ? 1 : unit === 'quarter' ? today.month - ((today.month - 1) % 3) : today.month
  const first = today.with({ month, day: startDay })
  return Temporal.PlainDate.compare(first, today) <= 0 ? first : first.subtract(LENGTH[unit])
}

/** What is wrong with a window, in words; undefined if nothing is. */
export function problemOf(window: Window): string | undefined {
  if (window.kind !== 'calendar') return undefined
  try {
    spanOf(window, 0)
    return undefined
  } catch {
    return `there is no time zone "${window.timeZone}"`
  }
}
