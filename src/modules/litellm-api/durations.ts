/**
 * Durations as LiteLLM writes them (`30d`, `1mo`), as moments and as windows of budgets. What is a unit of the calendar is
 * taken as one, in UTC: a day begins at midnight, a week on Monday, a month on its first.
 */
import type { CalendarUnit, Window } from '../../core/directory.ts'
import { badRequest } from '../../core/errors.ts'

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const
const MONTH = 'mo'
const SHORTEST = 60
const LONGEST = 366 * 86_400

const UNITS: Readonly<Record<string, CalendarUnit>> = {
  '60s': 'minute',
  '1m': 'minute',
  '60m': 'hour',
  '1h': 'hour',
  '24h': 'day',
  '1d': 'day',
  '7d': 'week',
  '1w': 'week',
  '30d': 'month',
  '1mo': 'month',
  '3mo': 'quarter',
  '12mo': 'year',
  '365d': 'year',
}
const WRITTEN: Readonly<Record<CalendarUnit, string>> = {
  minute: '1m',
  hour: '1h',
  day: '1d',
  week: '7d',
  month: '1mo',
  quarter: '3mo',
  year: '12mo',
}

function read(text: string, field: string): { readonly n: number; readonly unit: keyof typeof SECONDS | typeof MONTH } {
  const found = /^(\d{1,8})(s|m|h|d|w|mo)$/.exec(text)
  if (!found || Number(found[1]) === 0) {
    throw badRequest(`${field}: "${text.slice(0, 50)}" is no duration; write 30s, 30m, 24h, 7d, 2w or 1mo.`, field)
  }
  return { n: Number(found[1]), unit: found[2] as 's' }
}

/** When it is over. */
export function momentAfter(text: string, now: number, field = 'duration'): number {
  const { n, unit } = read(text, field)
  if ((unit as string) !== MONTH) return now + n * SECONDS[unit as 's'] * 1_000
  const at = new Date(now)
  return at.setUTCMonth(at.getUTCMonth() + n)
}

export function secondsOf(text: string, field: string): number {
  const { n, unit } = read(text, field)
  return n * (unit === MONTH ? 30 * SECONDS.d : SECONDS[unit])
}

export function windowOf(text: string | null | undefined, field = 'budget_duration'): Window {
  if (text === null || text === undefined) return { kind: 'lifetime' }
  const unit = UNITS[text]
  if (unit) return { kind: 'calendar', unit }
  const { n, unit: of } = read(text, field)
  if (of === MONTH) throw badRequest(`${field}: months are 1mo, 3mo or 12mo here; write other lengths in days.`, field)
  const seconds = n * SECONDS[of]
  if (seconds < SHORTEST || seconds > LONGEST) throw badRequest(`${field}: from 1m to 366d, not "${text}".`, field)
  return { kind: 'rolling', seconds }
}

export function durationOf(window: Window): string | null {
  if (window.kind === 'lifetime') return null
  if (window.kind === 'calendar') return WRITTEN[window.unit]
  const { seconds } = window
  return seconds % SECONDS.d === 0 ? `${seconds / SECONDS.d}d` : `${seconds}s`
}

/** From when to when it counts now; undefined where only the module that keeps it could say. */
export function spanOf(window: Window, now: number): { readonly from: number; readonly until?: number } | undefined {
  if (window.kind === 'lifetime') return { from: 0 }
  if (window.kind === 'rolling') return { from: now - window.seconds * 1_000 }
  const { unit, timeZone = 'UTC', startDay = 1 } = window
  if (timeZone !== 'UTC' || startDay !== 1) return undefined
  const at = new Date(now)
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()]
  const midnight = Date.UTC(year, month, day)
  const fixed = (from: number, ms: number) => ({ from, until: from + ms })
  if (unit === 'minute') return fixed(Math.floor(now / 60_000) * 60_000, 60_000)
  if (unit === 'hour') return fixed(Math.floor(now / 3_600_000) * 3_600_000, 3_600_000)
  if (unit === 'day') return fixed(midnight, 86_400_000)
  if (unit === 'week') return fixed(midnight - ((at.getUTCDay() + 6) % 7) * 86_400_000, 7 * 86_400_000)
  const length = { month: 1, quarter: 3, year: 12 }[unit]
  const first = month - (month % length)
  return { from: Date.UTC(year, first), until: Date.UTC(year, first + length) }
}
