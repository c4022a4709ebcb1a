/** Commands for organizations, teams, users, keys, limits and budgets: each is one call of the admin API. */
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { type ClientFlags, call, table } from './client.ts'
import {
  COUNTED,
  camel,
  type Flags,
  list,
  memberships,
  type Own,
  type Row,
  rateOf,
  rateText,
  type Show,
  scoped,
  scopeOf,
  seconds,
  whole,
  windowOf,
  windowText,
  withMemberships,
  written,
} from './directory-words.ts'
import { fail } from './words.ts'

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
const DIMENSIONS = ['organization', 'team', 'user', 'key'] as const
const SCOPE: readonly Option[] = [
  ...DIMENSIONS.map((flag) => ({ flag, description: `only requests of this ${flag}` })),
  { flag: 'scope', description: 'which requests, as team=ml,model=gpt-4o; "*" means each', read: scopeOf },
]

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
  /** What is sent to make one, of the flags that were given. */
  draft?(body: Row, flags: Flags): Row
  /** The same to change one; absent: the flags as they are. */
  changed?(body: Row): Row
  /** One row in a few words. */
  say?(row: Row): string
  /** A row as its columns show it. */
  shown?(row: Row): Row
  /** The module that acts on these rows. */
  readonly module?: string
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
    draft({ passwordEnv, ...body }) {
      const password = typeof passwordEnv === 'string' ? process.env[passwordEnv] : undefined
      if (passwordEnv !== undefined && !password) fail(`${passwordEnv} is not set`)
      return { ...withMemberships(body), ...(password ? { password } : {}) }
    },
    changed: withMemberships,
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
    draft: ({ expiresIn, ...body }) => ({ ...body, ...(expiresIn ? { expiresInSeconds: expiresIn } : {}) }),
    module: 'keys',
  },
  {
    path: 'limits',
    columns: ['id', 'scope', 'limit'],
    filters: ['at'],
    create: [
      ...SCOPE,
      ...COUNTED.map((flag) => ({ flag, description: `how many ${flag.replace('-', ' ')}, as 60/minute` })),
      { flag: 'parallel', description: 'how many requests at once' },
      { flag: 'counts', description: 'requests, input_tokens, output_tokens, tokens or parallel' },
      { flag: 'count', description: 'which tokens count, as input,cacheRead,output', read: list },
      { flag: 'per', description: 'minute, hour or day' },
      { flag: 'amount', description: 'how many', read: whole },
    ],
    change: [{ flag: 'amount', description: 'how many', read: whole }],
    draft({ requests: _, tokens: __, inputTokens: ___, outputTokens: ____, parallel: _____, ...body }, flags) {
      return scoped({ ...body, ...rateOf(flags) })
    },
    say: (row) => `${rateText(row)} for ${written(row.scope)}`,
    shown: (row) => ({ id: row.id, scope: written(row.scope), limit: rateText(row) }),
    module: 'rate-limits',
  },
  {
    path: 'budgets',
    columns: ['id', 'scope', 'amountUsd', 'window', 'hard'],
    filters: ['at'],
    create: [
      ...SCOPE,
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
    draft: ({ amount, window, timeZone, ...body }) =>
      scoped({
        ...body,
        amountUsd: amount,
        ...(typeof window === 'string' ? { window: windowOf(window, timeZone as string | undefined) } : {}),
      }),
    changed: ({ amount, ...body }) => (amount === undefined ? body : { ...body, amountUsd: amount }),
    say: (row) => `$${row.amountUsd} per ${windowText(row.window)} for ${written(row.scope)}`,
    shown: (row) => ({ ...row, scope: written(row.scope), window: windowText(row.window), hard: row.hard ?? true }),
    module: 'budgets',
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
      show(flags, { [path]: rows }, () => table(kind.shown ? rows.map(kind.shown) : rows, columns))
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
        ...(kind.draft ? kind.draft(body, flags) : body),
      })) as Row
      const said = kind.say ? `: ${kind.say(answer)}` : ''
      // The key alone on standard output, so that a script can take it as it is.
      show(flags, answer, () => (answer.key ? String(answer.key) : `${one} ${answer.id} is made${said}`))
      if (flags.json) return
      if (answer.key) console.error(`key ${answer.id} is made; this is the only time that it is shown`)
      if (kind.module) await remind(flags, kind.module)
    }
    const remind = async (flags: Flags, module: string) => {
      const { mode } = (await call(flags, 'GET', `modules/${module}`)) as Row
      if (mode !== 'off') return
      console.error(`module ${module} is off, so nothing checks it yet: stockyard modules set ${module} enforce`)
    }
    if (kind.named) create.action((id: string, flags: Flags) => make(flags, id))
    else create.action((flags: Flags) => make(flags))
    withOptions(own(commands, 'set <id>', 'change what is named; "none" takes it away'), kind.change).action(
      async (id: string, flags: Flags) => {
        const body = bodyOf(flags, kind.change)
        const answer = await call(flags, 'PUT', at(id), kind.changed ? kind.changed(body) : body)
        show(flags, answer, () => `${one} ${id} is changed`)
      },
    )
    own(commands, 'remove <id>', `remove one`).action(async (id: string, flags: Flags) => {
      const answer = await call(flags, 'DELETE', at(id))
      show(flags, answer, () => `${one} ${id} is gone`)
    })
    if (path === 'budgets') {
      own(commands, 'status', 'what is spent of each, and held by running requests').action(async (flags: Flags) => {
        const answer = (await call(flags, 'GET', 'budget-accounts')) as { accounts: Row[] }
        const rows = answer.accounts.map(({ counter, ...row }) => ({
          ...row,
          of: String(counter).replaceAll('|', ',') || 'everybody together',
        }))
        show(flags, answer, () => table(rows, ['budget', 'of', 'limitUsd', 'spentUsd', 'heldUsd', 'resetAt']))
      })
    }
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
        show(flags, answer, () => String(answer.key))
        if (!flags.json) console.error(`the former secret of key ${id} ends at ${answer.overlapUntil}`)
      })
  }
}
