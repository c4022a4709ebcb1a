/** Commands for organizations, teams, users, keys, limits and budgets: each is one call of the admin API. */
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { type ClientFlags, call, fail, table } from './client.ts'

type Row = Record<string, unknown>
type Own = (parent: Command, name: string, description: string) => Command
type Show = (flags: ClientFlags, answer: unknown, text: () => string) => void
type Flags = ClientFlags & Readonly<Record<string, string | undefined>>

const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)
const whole = (text: string): number => {
  const n = Number(text)
  return Number.isSafeInteger(n) ? n : fail(`"${text}" is not a whole number`)
}

/** `30d` and the like, in seconds. */
function seconds(text: string): number {
  const found = /^(\d+)(s|m|h|d)$/.exec(text)
  if (!found) fail(`"${text}" is no duration; write it as 30d, 12h, 15m or 60s`)
  return Number(found[1]) * { s: 1, m: 60, h: 3_600, d: 86_400 }[found[2] as 's' | 'm' | 'h' | 'd']
}

/** `acme:admin`, `acme/ml:member`, or `admin` for the whole instance. */
function memberships(text: string): Row[] {
  return list(text).map((one) => {
    const [place, role] = one.includes(':') ? (one.split(':') as [string, string]) : ['', one]
    const [organization, team] = place.split('/')
    return { ...(organization ? { organization } : {}), ...(team ? { team } : {}), role }
  })
}

/** `team=ml,model=gpt-4o` as the selector it means. */
const scope = (text: string): Row =>
  Object.fromEntries(
    list(text).map((pair) => {
      const at = pair.indexOf('=')
      return at < 1 ? fail(`"${pair}" is not name=value`) : [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )

const WINDOWS = ['minute', 'hour', 'day', 'week', 'month', 'quarter', 'year']
function windowOf(text: string, timeZone: string | undefined): Row {
  if (text === 'lifetime') return { kind: 'lifetime' }
  if (WINDOWS.includes(text)) return { kind: 'calendar', unit: text, ...(timeZone ? { timeZone } : {}) }
  return { kind: 'rolling', seconds: seconds(text) }
}

interface Option {
  readonly flag: string
  readonly description: string
  read?(value: string): unknown
}
const NAME: Option = { flag: 'name', description: 'what people call it' }
const ALLOWED: readonly Option[] = [
  { flag: 'models', description: 'models that may be asked for, with commas; * stands for anything', read: list },
  { flag: 'upstreams', description: 'upstreams that may be used, with commas', read: list },
  { flag: 'endpoints', description: 'what may be done, as chat,embeddings', read: list },
  { flag: 'ip-ranges', description: 'addresses from which it may be used, as 10.0.0.0/8', read: list },
  { flag: 'tags', description: 'tags, with commas', read: list },
]
const PLACE = (...names: string[]): Option[] => names.map((flag) => ({ flag, description: `its ${flag}` }))
const SCOPE: Option = {
  flag: 'scope',
  description: 'which requests, as team=ml,model=gpt-4o; "*" means each',
  read: scope,
}

const camel = (flag: string): string => flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
const withOptions = (command: Command, options: readonly Option[]): Command =>
  options.reduce((one, { flag, description }) => one.option(`--${flag} <value>`, description), command)
const bodyOf = (flags: Flags, options: readonly Option[]): Row =>
  Object.fromEntries(
    options.flatMap(({ flag, read }) => {
      const value = flags[camel(flag)]
      if (value === undefined) return []
      return [[camel(flag), value === 'none' ? null : read ? read(value) : value]]
    }),
  )

interface Kind {
  readonly path: string
  readonly columns: readonly string[]
  /** Names the new row; absent where ids are made. */
  readonly named?: boolean
  readonly filters: readonly string[]
  readonly create: readonly Option[]
  readonly change: readonly Option[]
  body?(flags: Flags, body: Row): Row
}

const KINDS: readonly Kind[] = [
  {
    path: 'organizations',
    columns: ['id', 'name', 'blocked', 'models'],
    named: true,
    filters: [],
    create: [NAME, ...ALLOWED],
    change: [NAME, ...ALLOWED],
  },
  {
    path: 'teams',
    columns: ['id', 'organization', 'name', 'blocked', 'models'],
    named: true,
    filters: ['organization'],
    create: [...PLACE('organization'), NAME, ...ALLOWED],
    change: [NAME, ...ALLOWED],
  },
  {
    path: 'users',
    columns: ['id', 'kind', 'email', 'name', 'blocked', 'memberships'],
    named: true,
    filters: ['organization', 'email'],
    create: [
      { flag: 'email', description: 'with which it signs in' },
      { flag: 'kind', description: 'user, or service for an account that only owns keys' },
      {
        flag: 'roles',
        description: 'as acme:admin,acme/ml:member; without a place: the whole instance',
        read: memberships,
      },
      { flag: 'password-env', description: 'the environment variable that holds the password' },
      NAME,
      ...ALLOWED,
    ],
    change: [
      { flag: 'email', description: 'with which it signs in' },
      { flag: 'roles', description: 'all of them anew', read: memberships },
      NAME,
      ...ALLOWED,
    ],
    body(_, { roles, passwordEnv, ...body }) {
      const password = typeof passwordEnv === 'string' ? process.env[passwordEnv] : undefined
      if (passwordEnv !== undefined && !password) fail(`${passwordEnv} is not set`)
      return { ...body, ...(roles ? { memberships: roles } : {}), ...(password ? { password } : {}) }
    },
  },
  {
    path: 'keys',
    columns: ['id', 'name', 'organization', 'team', 'user', 'blocked', 'expiresAt', 'models'],
    filters: ['organization', 'team', 'user'],
    create: [
      NAME,
      ...PLACE('organization', 'team', 'user'),
      { flag: 'expires-in', description: 'as 30d or 12h', read: seconds },
      { flag: 'permissions', description: 'what its headers may loosen: cache,logging,routing', read: list },
      ...ALLOWED,
    ],
    change: [
      NAME,
      { flag: 'expires-at', description: 'ISO time, or none' },
      { flag: 'permissions', description: 'what its headers may loosen', read: list },
      ...ALLOWED,
    ],
    body: (_, { expiresIn, ...body }) => ({ ...body, ...(expiresIn ? { expiresInSeconds: expiresIn } : {}) }),
  },
  {
    path: 'limits',
    columns: ['id', 'scope', 'counts', 'per', 'amount'],
    filters: ['at'],
    create: [
      SCOPE,
      { flag: 'counts', description: 'requests, input_tokens, output_tokens, tokens or parallel' },
      { flag: 'per', description: 'minute, hour or day' },
      { flag: 'amount', description: 'how many', read: whole },
    ],
    change: [{ flag: 'amount', description: 'how many', read: whole }],
    body: (_, body) => ({ scope: {}, ...body }),
  },
  {
    path: 'budgets',
    columns: ['id', 'scope', 'amountUsd', 'window', 'hard'],
    filters: ['at'],
    create: [
      SCOPE,
      { flag: 'amount', description: 'dollars' },
      { flag: 'window', description: 'minute … year, lifetime, or a rolling 5h' },
      { flag: 'time-zone', description: 'in which days and months begin, as Europe/Berlin' },
      { flag: 'on-insufficient', description: 'reject, clamp or fallback' },
      { flag: 'hard', description: 'false: warn, and let pass', read: (text) => text !== 'false' },
    ],
    change: [
      { flag: 'amount', description: 'dollars' },
      { flag: 'on-insufficient', description: 'reject, clamp or fallback' },
    ],
    body(flags, { amount, window, timeZone, ...body }) {
      return {
        ...(flags.scope === undefined && window !== undefined ? { scope: {} } : {}),
        ...body,
        ...(amount === undefined ? {} : { amountUsd: amount }),
        ...(typeof window === 'string' ? { window: windowOf(window, timeZone as string | undefined) } : {}),
      }
    },
  },
]

export function directoryCommands(stockyard: Command, own: Own, show: Show): void {
  for (const kind of KINDS) {
    const { path, columns } = kind
    const one = path.slice(0, -1)
    const at = (id: string, rest = '') => `${path}/${encodeURIComponent(id)}${rest}`
    const commands = stockyard.command(path).description(`list, make, change and remove ${path}`)
    const filters: Option[] = kind.filters.map((flag) => ({
      flag,
      description: flag === 'at' ? 'only those about one place, as team:ml' : `only of this ${flag}`,
    }))
    withOptions(own(commands, 'list', `${path} that you may see`), filters).action(async (flags: Flags) => {
      const query = new URLSearchParams(bodyOf(flags, filters) as Record<string, string>)
      const rows: Row[] = []
      for (let after: string | null = ''; after !== null; ) {
        if (after) query.set('after', after)
        const page = (await call(flags, 'GET', `${path}?${query}`)) as { next: string | null } & Record<string, Row[]>
        rows.push(...(page[path] as Row[]))
        after = page.next
      }
      show(flags, { [path]: rows }, () => table(rows, columns))
    })
    own(commands, 'show <id>', `one ${one}`).action(async (id: string, flags: Flags) => {
      const answer = await call(flags, 'GET', at(id))
      show(flags, answer, () => stringify(answer))
    })
    const create = withOptions(own(commands, kind.named ? 'create <id>' : 'create', `make one`), kind.create)
    const make = async (flags: Flags, id?: string) => {
      const body = bodyOf(flags, kind.create)
      const answer = (await call(flags, 'POST', path, {
        ...(id === undefined ? {} : { id }),
        ...(kind.body ? kind.body(flags, body) : body),
      })) as Row
      show(flags, answer, () =>
        answer.key ? `${answer.key}\n(key ${answer.id}; it is not shown again)` : `${one} ${answer.id} is made`,
      )
    }
    if (kind.named) create.action((id: string, flags: Flags) => make(flags, id))
    else create.action((flags: Flags) => make(flags))
    withOptions(own(commands, 'set <id>', 'change what is named; "none" takes it away'), kind.change).action(
      async (id: string, flags: Flags) => {
        const body = bodyOf(flags, kind.change)
        const answer = await call(flags, 'PUT', at(id), kind.body ? kind.body(flags, body) : body)
        show(flags, answer, () => `${one} ${id} is changed`)
      },
    )
    own(commands, 'remove <id>', `remove one`).action(async (id: string, flags: Flags) => {
      const answer = await call(flags, 'DELETE', at(id))
      show(flags, answer, () => `${one} ${id} is gone`)
    })
    if (path !== 'keys') continue
    for (const action of ['block', 'unblock'] as const) {
      const command = own(commands, `${action} <id>`, action === 'block' ? 'refuse it from now on' : 'let it in again')
      if (action === 'block') command.option('--cut', 'end what is running too')
      command.action(async (id: string, flags: ClientFlags & { cut?: boolean }) => {
        const answer = await call(flags, 'POST', at(id, `/${action}`), flags.cut ? { cut: true } : {})
        show(flags, answer, () => `key ${id} is ${action}ed`)
      })
    }
    own(commands, 'rotate <id>', 'a new secret; the old one is good until the overlap ends')
      .option('--overlap <duration>', 'as 24h', '24h')
      .action(async (id: string, flags: ClientFlags & { overlap: string }) => {
        const answer = (await call(flags, 'POST', at(id, '/rotate'), { overlapSeconds: seconds(flags.overlap) })) as Row
        show(flags, answer, () => `${answer.key}\n(the former secret ends at ${answer.overlapUntil})`)
      })
  }
}
