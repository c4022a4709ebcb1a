/**
 * A route's rules: fields of the exchange compared with values. Declared as data and compiled once a snapshot; nothing in
 * them is ever executed, and no pattern can take long.
 */
import { badRequest } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { JsonObject, JsonValue } from '../request.ts'
import type { ConditionConfiguration } from '../store.ts'

export type Condition = (x: Exchange, now: number) => boolean

export const OPERATORS = [
  'eq',
  'ne',
  'in',
  'not-in',
  'gt',
  'gte',
  'lt',
  'lte',
  'prefix',
  'suffix',
  'contains',
  'exists',
] as const
export type Operator = (typeof OPERATORS)[number]

/** Credentials are no criterion: a rule's outcome would tell them apart. */
const SECRET_HEADERS = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
])

type Reader = (x: Exchange, now: number) => JsonValue | undefined

const ownOf = (value: JsonValue | undefined, name: string): JsonValue | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)
    ? (value as JsonObject)[name]
    : undefined

const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday']

const PLAIN: Readonly<Record<string, Reader>> = {
  model: (x) => x.model,
  stream: (x) => x.stream,
  operation: (x) => x.operation,
  dialect: (x) => x.dialect,
  tokens: (x) => x.inputEstimate,
  'principal.kind': (x) => x.principal?.kind,
  'principal.id': (x) => x.principal?.id,
  'principal.organization': (x) => x.principal?.organization,
  'principal.team': (x) => x.principal?.team,
  'principal.user': (x) => x.principal?.user,
  'principal.tags': (x) => x.principal?.tags,
  // UTC, so that a rule means the same on every machine.
  'time.hour': (_, now) => new Date(now).getUTCHours(),
  'time.weekday': (_, now) => WEEKDAYS[new Date(now).getUTCDay()] as string,
  'time.date': (_, now) => new Date(now).toISOString().slice(0, 10),
  'time.clock': (_, now) => new Date(now).toISOString().slice(11, 16),
}

function readerOf(field: string): Reader {
  const plain = Object.hasOwn(PLAIN, field) ? PLAIN[field] : undefined
  if (plain) return plain
  const dot = field.indexOf('.')
  const name = field.slice(dot + 1)
  if (dot > 0 && name) {
    switch (field.slice(0, dot)) {
      case 'metadata':
        return (x) => ownOf(x.json.metadata, name)
      case 'parameters':
        return (x) => ownOf(x.json, name)
      case 'headers': {
        const lower = name.toLowerCase()
        if (SECRET_HEADERS.has(lower)) throw badRequest(`rules: the header "${name}" carries a credential.`, 'rules')
        return (x) => (Object.hasOwn(x.headers, lower) ? x.headers[lower] : undefined)
      }
    }
  }
  const known = [...Object.keys(PLAIN), 'metadata.<name>', 'headers.<name>', 'parameters.<name>'].join(', ')
  throw badRequest(`rules: there is no field "${field}"; known are ${known}.`, 'rules')
}

const scalar = (value: JsonValue | undefined): value is string | number | boolean =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'

/** A list on the left side (tags) holds if one of its members does. */
const some = (left: JsonValue | undefined, holds: (one: JsonValue) => boolean): boolean =>
  Array.isArray(left) ? left.some(holds) : left !== undefined && left !== null && holds(left)

/** Numbers as numbers, everything else as text: `time.clock` compares as it reads. */
function compare(left: JsonValue, right: JsonValue): number {
  if (typeof right === 'number') {
    const number = typeof left === 'number' ? left : typeof left === 'string' && left !== '' ? Number(left) : Number.NaN
    return Number.isNaN(number) ? Number.NaN : number - right
  }
  if (typeof left !== 'string' || typeof right !== 'string') return Number.NaN
  return left < right ? -1 : left > right ? 1 : 0
}

/** Throws `invalid_request` where the condition cannot mean anything. */
export function compileCondition({ field, operator, value }: ConditionConfiguration): Condition {
  const read = readerOf(field)
  const wrong = (wanted: string): never => {
    throw badRequest(`rules: "${operator}" on "${field}" needs ${wanted}.`, 'rules')
  }
  switch (operator as Operator) {
    case 'exists': {
      if (value !== undefined && typeof value !== 'boolean') wrong('true, false or nothing as its value')
      const wanted = value !== false
      return (x, now) => (read(x, now) !== undefined && read(x, now) !== null) === wanted
    }
    case 'eq':
    case 'ne': {
      if (!scalar(value)) wrong('a text, a number or true/false')
      const equal = operator === 'eq'
      return (x, now) => some(read(x, now), (one) => one === value) === equal
    }
    case 'in':
    case 'not-in': {
      if (!Array.isArray(value) || !value.every(scalar)) wrong('a list of values')
      const set = new Set(value as readonly JsonValue[])
      const inside = operator === 'in'
      return (x, now) => some(read(x, now), (one) => set.has(one)) === inside
    }
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte': {
      if (typeof value !== 'number' && typeof value !== 'string') wrong('a number or a text')
      const holds = {
        gt: (d: number) => d > 0,
        gte: (d: number) => d >= 0,
        lt: (d: number) => d < 0,
        lte: (d: number) => d <= 0,
      }
      const test = holds[operator as 'gt']
      return (x, now) => some(read(x, now), (one) => test(compare(one, value as JsonValue)))
    }
    case 'prefix':
    case 'suffix':
    case 'contains': {
      if (typeof value !== 'string' || value === '') wrong('a text')
      const text = value as string
      const test = {
        prefix: (t: string) => t.startsWith(text),
        suffix: (t: string) => t.endsWith(text),
        contains: (t: string) => t.includes(text),
      }
      const holds = test[operator as 'prefix']
      return (x, now) => some(read(x, now), (one) => typeof one === 'string' && holds(one))
    }
  }
  throw badRequest(`rules: there is no operator "${operator}"; known are ${OPERATORS.join(', ')}.`, 'rules')
}
