/** What the flags of the directory's commands mean as fields of rows, and rows in a few words. */
import type { Command } from 'commander'
import type { ClientFlags } from './client.ts'
import { fail } from './words.ts'

export type Row = Record<string, unknown>
export type Own = (parent: Command, name: string, description: string) => Command
export type Show = (flags: ClientFlags, answer: unknown, text: () => string) => void
export type Flags = ClientFlags & Readonly<Record<string, string | undefined>>

export const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)
export const whole = (text: string): number => {
  const n = Number(text)
  return Number.isSafeInteger(n) ? n : fail(`"${text}" is not a whole number`)
}

/** `30d` and the like, in seconds. */
export function seconds(text: string): number {
  const found = /^(\d+)(s|m|h|d)$/.exec(text)
  if (!found) fail(`"${text}" is no duration; write it as 30d, 12h, 15m or 60s`)
  return Number(found[1]) * { s: 1, m: 60, h: 3_600, d: 86_400 }[found[2] as 's' | 'm' | 'h' | 'd']
}

/** `acme:admin`, `acme/ml:member`, or `admin` for the whole instance. */
export function memberships(text: string): Row[] {
  return list(text).map((one) => {
    const [place, role] = one.includes(':') ? (one.split(':') as [string, string]) : ['', one]
    const [organization, team] = place.split('/')
    return { ...(organization ? { organization } : {}), ...(team ? { team } : {}), role }
  })
}

/** `team=ml,model=gpt-4o` as the selector it means, and back. */
export const scopeOf = (text: string): Row =>
  Object.fromEntries(
    list(text).map((pair) => {
      const at = pair.indexOf('=')
      return at < 1 ? fail(`"${pair}" is not name=value`) : [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )

export const written = (scope: unknown): string =>
  Object.entries((scope ?? {}) as Row)
    .map(([dimension, value]) => `${dimension}=${value}`)
    .join(',') || 'everybody together'

const WINDOWS = ['minute', 'hour', 'day', 'week', 'month', 'quarter', 'year']
export function windowOf(text: string, timeZone: string | undefined): Row {
  if (text === 'lifetime') return { kind: 'lifetime' }
  if (WINDOWS.includes(text)) return { kind: 'calendar', unit: text, ...(timeZone ? { timeZone } : {}) }
  return { kind: 'rolling', seconds: seconds(text) }
}
export function windowText(window: unknown): string {
  const { kind, unit, seconds: length, timeZone } = window as Row
  if (kind === 'rolling') return `any ${length} seconds`
  return `${unit ?? 'lifetime'}${timeZone ? ` in ${timeZone}` : ''}`
}

export const COUNTED = ['requests', 'tokens', 'input-tokens', 'output-tokens'] as const
/** `--requests 60/minute` and `--parallel 4`, as the fields they mean. */
export function rateOf(flags: Flags): Row {
  const given = [...COUNTED, 'parallel'].filter((flag) => flags[camel(flag)] !== undefined)
  const [flag, more] = given
  if (flag === undefined && flags.counts === undefined && flags.amount === undefined)
    fail('say what is limited: --requests 60/minute, --tokens 100000/hour, --parallel 4 …')
  if (flag === undefined) return {}
  if (more !== undefined) fail(`--${flag} and --${more} are two limits; make one after the other`)
  const text = flags[camel(flag)] as string
  if (flag === 'parallel') return { counts: 'parallel', amount: whole(text) }
  const [, amount = '', per = ''] = /^(\d+)\/(minute|hour|day)$/.exec(text) ?? []
  if (amount === '') fail(`"${text}" is no rate; write it as 60/minute, 1000/hour or 100000/day`)
  return { counts: flag.replace('-', '_'), amount: whole(amount), per }
}

/** What the flags above name together. */
export function scoped({ organization, team, user, key, scope, ...body }: Row): Row {
  const places = Object.entries({ organization, team, user, key }).filter(([, value]) => value !== undefined)
  return { ...body, scope: { ...(scope as Row | undefined), ...Object.fromEntries(places) } }
}

export const rateText = ({ counts, amount, per }: Row): string =>
  `${amount} ${counts === 'parallel' ? 'requests at once' : String(counts).replace('_', ' ')}${per ? ` per ${per}` : ''}`

export const withMemberships = ({ roles, ...body }: Row): Row => (roles ? { ...body, memberships: roles } : body)

export const camel = (flag: string): string => flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
