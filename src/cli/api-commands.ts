/** The commands that are a call of the admin API and a way to show its answer. All take `--json`. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command, Option } from 'commander'
import { stringify } from 'yaml'
import { inputTokens, outputTokens, type Usage } from '../core/usage.ts'
import { billingCommand } from './billing.ts'
import { type ClientFlags, call, parsed, table } from './client.ts'
import { configurationCommands } from './configuration-commands.ts'
import { directoryCommands } from './directory-commands.ts'
import { fail } from './words.ts'

type Row = Record<string, unknown>
const FOLLOW_MS = 1_000
/** What a group of commands does when nothing more is said. */
const SHOWN: readonly string[] = ['list', 'export']

interface UpstreamFlags {
  readonly provider: string
  readonly baseUrl?: string
  readonly secretEnv?: string
  readonly proxy?: string
  readonly ca?: string
  readonly certificate?: string
  readonly certificateKey?: string
  readonly option: Readonly<Record<string, string>>
}

function optionOf(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const equals = text.indexOf('=')
  if (equals < 1) fail(`"${text}" is not name=value`)
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) }
}

function networkOf({ proxy, ca, certificate, certificateKey }: UpstreamFlags): object {
  const files = Object.entries({ ca, certificate, certificateKey }).flatMap(([name, file]) =>
    file === undefined ? [] : [[name, readFileSync(file, 'utf8')]],
  )
  const network = { ...(proxy === undefined ? {} : { proxy }), ...Object.fromEntries(files) }
  return Object.keys(network).length === 0 ? {} : { network }
}

export function apiCommands(stockyard: Command, dataDir: () => Option): void {
  const own = (parent: Command, name: string, description: string): Command =>
    parent
      .command(name, { isDefault: SHOWN.includes(name) })
      .description(description)
      .option('--url <address>', 'the gateway', process.env.STOCKYARD_URL ?? 'http://127.0.0.1:4200')
      .addOption(dataDir())
      .option('--json', 'as JSON')
  const show = (flags: ClientFlags, answer: unknown, text: () => string): void =>
    console.log(flags.json ? JSON.stringify(answer, null, 2) : text())
  const id = (name: string): string => encodeURIComponent(name)

  const modules = stockyard.command('modules').description('list, show and switch modules')
  own(modules, 'list', 'all modules').action(async (flags: ClientFlags) => {
    const answer = (await call(flags, 'GET', 'modules')) as { modules: Row[] }
    show(flags, answer, () => table(answer.modules, ['id', 'mode', 'layer', 'summary']))
  })
  own(modules, 'show <id>', 'one module').action(async (name: string, flags: ClientFlags) => {
    const answer = await call(flags, 'GET', `modules/${id(name)}`)
    show(flags, answer, () => stringify(answer))
  })
  own(modules, 'set <id> <mode>', 'switch to off, observe or enforce')
    .option('--settings <json>', 'settings, as a JSON object')
    .action(async (name: string, mode: string, flags: ClientFlags & { settings?: string }) => {
      const settings = flags.settings === undefined ? {} : { settings: parsed(flags.settings, '--settings') as object }
      const answer = (await call(flags, 'PUT', `modules/${id(name)}`, { mode, ...settings })) as { revision: number }
      show(flags, answer, () => `${name} is now ${mode} (revision ${answer.revision})`)
    })

  const pii = stockyard.command('pii').description('personal data')
  own(pii, 'try <text>', 'what would be found in a text, and what would become of it')
    .option('--settings <json>', 'instead of the stored settings')
    .action(async (text: string, flags: ClientFlags & { settings?: string }) => {
      const settings = flags.settings === undefined ? {} : { settings: parsed(flags.settings, '--settings') as object }
      const answer = (await call(flags, 'POST', 'modules/pii/try', { text, ...settings })) as {
        spans: (Row & { start: number; end: number })[]
        redacted: string
      }
      const rows = answer.spans.map((span) => ({ ...span, value: text.slice(span.start, span.end) }))
      show(flags, answer, () => `${table(rows, ['entity', 'action', 'value'])}\n\n${answer.redacted}`)
    })

  const overrides = stockyard
    .command('overrides')
    .description('what differs for an organization, team or key (organization:acme, team:ml, key:…)')
  own(overrides, 'list', 'all of them').action(async (flags: ClientFlags) => {
    const answer = (await call(flags, 'GET', 'overrides')) as { overrides: Record<string, { modules: Row }> }
    const rows = Object.entries(answer.overrides).map(([place, { modules: told }]) => ({ place, modules: told }))
    show(flags, answer, () => table(rows, ['place', 'modules']))
  })
  own(overrides, 'set <place> <module> [mode]', 'what a module is there; other modules of the place stay as they are')
    .option('--settings <json>', 'settings that differ, as a JSON object')
    .option('--unlock', 'places below may make it looser')
    .action(
      async (
        place: string,
        module: string,
        mode: string | undefined,
        flags: ClientFlags & { settings?: string; unlock?: boolean },
      ) => {
        const all = (await call(flags, 'GET', 'overrides')) as { overrides: Record<string, { modules: Row }> }
        const told = {
          ...(mode === undefined ? {} : { mode }),
          ...(flags.settings === undefined ? {} : { settings: parsed(flags.settings, '--settings') as object }),
          ...(flags.unlock ? { unlocked: true } : {}),
        }
        const answer = (await call(flags, 'PUT', `overrides/${id(place)}`, {
          modules: { ...all.overrides[place]?.modules, [module]: told },
        })) as { revision: number }
        show(flags, answer, () => `${module} is set for ${place} (revision ${answer.revision})`)
      },
    )
  own(overrides, 'remove <place>', 'what holds above holds there again').action(
    async (place: string, flags: ClientFlags) => {
      const answer = await call(flags, 'DELETE', `overrides/${id(place)}`)
      show(flags, answer, () => `${place} has no overrides any more`)
    },
  )
  own(overrides, 'effective <place>', 'what holds there, and where each value comes from').action(
    async (place: string, flags: ClientFlags) => {
      const [kind, name] = place.split(':') as [string, string | undefined]
      if (!name) fail(`"${place}" is no place; write organization:…, team:… or key:…`)
      const answer = (await call(flags, 'GET', `effective?${new URLSearchParams({ [kind]: name })}`)) as {
        modules: Record<string, { mode: Row; settings: Record<string, Row> }>
      }
      const rows = Object.entries(answer.modules).flatMap(([module, { mode, settings }]) => [
        { module, field: 'mode', ...mode },
        ...Object.entries(settings).map(([field, one]) => ({ module, field, ...one })),
      ])
      show(flags, answer, () => table(rows, ['module', 'field', 'value', 'source']))
    },
  )

  const upstreams = stockyard.command('upstreams').description('list, set and remove upstreams')
  own(upstreams, 'list', 'all upstreams').action(async (flags: ClientFlags) => {
    const answer = (await call(flags, 'GET', 'upstreams')) as { upstreams: Row[] }
    show(flags, answer, () => table(answer.upstreams, ['id', 'provider', 'owner', 'baseUrl']))
  })
  own(upstreams, 'set <id>', 'create or replace; the secret is read from the variable you name')
    .requiredOption('--provider <id>', 'see docs/providers.md')
    .option('--base-url <url>', 'where it is, if not at the usual place')
    .option('--secret-env <variable>', 'the environment variable that holds the key')
    .option('--option <name=value>', "one of the provider's options; may be repeated", optionOf, {})
    .option('--proxy <url>', 'an HTTP proxy on the way there, or "direct"')
    .option('--ca <file>', 'certificates of further authorities, PEM')
    .option('--certificate <file>', 'the certificate that it asks us for, PEM')
    .option('--certificate-key <file>', 'its key, PEM; kept sealed')
    .action(async (name: string, flags: ClientFlags & UpstreamFlags) => {
      const secret = flags.secretEnv === undefined ? undefined : process.env[flags.secretEnv]
      if (flags.secretEnv !== undefined && !secret) fail(`${flags.secretEnv} is not set`)
      const answer = (await call(flags, 'PUT', `upstreams/${id(name)}`, {
        provider: flags.provider,
        ...(flags.baseUrl === undefined ? {} : { baseUrl: flags.baseUrl }),
        ...(Object.keys(flags.option).length > 0 ? { options: flags.option } : {}),
        ...(secret ? { credentials: [{ id: 'main', secret }] } : {}),
        ...networkOf(flags),
      })) as { revision: number }
      show(flags, answer, () => `upstream ${name} is set (revision ${answer.revision})`)
    })
  own(upstreams, 'remove <id>', 'remove an upstream').action(async (name: string, flags: ClientFlags) => {
    const answer = await call(flags, 'DELETE', `upstreams/${id(name)}`)
    show(flags, answer, () => `upstream ${name} is gone`)
  })

  const routes = stockyard.command('routes').description('list, set and remove routes')
  own(routes, 'list', 'all routes').action(async (flags: ClientFlags) => {
    const answer = (await call(flags, 'GET', 'routes')) as { routes: Record<string, { targets: Row[] }> }
    const rows = Object.entries(answer.routes).map(([model, route]) => ({
      model,
      targets: route.targets.map((t) => `${t.upstream}/${t.model}`).join(' → '),
    }))
    show(flags, answer, () => table(rows, ['model', 'targets']))
  })
  own(routes, 'set <model> <targets...>', 'targets as upstream/model, in the order in which they are tried').action(
    async (model: string, targets: string[], flags: ClientFlags) => {
      const parsed = targets.map((target) => {
        const slash = target.indexOf('/')
        if (slash < 1) fail(`"${target}" is not upstream/model`)
        return { upstream: target.slice(0, slash), model: target.slice(slash + 1) }
      })
      const answer = (await call(flags, 'PUT', `routes/${id(model)}`, { targets: parsed })) as { revision: number }
      show(flags, answer, () => `route ${model} is set (revision ${answer.revision})`)
    },
  )
  own(routes, 'remove <model>', 'remove a route').action(async (model: string, flags: ClientFlags) => {
    const answer = await call(flags, 'DELETE', `routes/${id(model)}`)
    show(flags, answer, () => `route ${model} is gone`)
  })

  own(stockyard, 'explain <model>', 'where a request would go, why, and what it would cost at most; nobody is called')
    .option('--body <json>', 'the request, instead of a short question')
    .option('--path <path>', 'the endpoint', '/v1/chat/completions')
    .option('--header <name: value...>', 'headers of the request')
    .option('--key-env <variable>', 'as if it were sent with the key in this variable')
    .action(
      async (
        model: string,
        flags: ClientFlags & { body?: string; path: string; header?: string[]; keyEnv?: string },
      ) => {
        const asked =
          flags.body === undefined ? { messages: [{ role: 'user', content: 'Hello' }] } : parsed(flags.body, '--body')
        const headers = Object.fromEntries(
          (flags.header ?? []).map((line) => {
            const colon = line.indexOf(':')
            if (colon < 1) fail(`"${line}" is not name: value`)
            return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()]
          }),
        )
        const key = flags.keyEnv === undefined ? undefined : process.env[flags.keyEnv]
        if (flags.keyEnv !== undefined && !key) fail(`${flags.keyEnv} is not set`)
        const body = { ...(asked as object), model }
        const answer = (await call(flags, 'POST', 'explain', {
          path: flags.path,
          body,
          headers,
          ...(key ? { key } : {}),
        })) as Row & { trace: Row[]; plan?: { targets: Row[] }; refused?: Row }
        show(flags, answer, () =>
          [
            table(answer.trace, ['phase', 'module', 'decision', 'reason']),
            '',
            answer.refused
              ? `refused: ${answer.refused.status} ${answer.refused.code}: ${answer.refused.message}`
              : table(
                  (answer.plan?.targets ?? []).map((t) => ({
                    ...t,
                    rests: (t.rests as Row | undefined)?.reason,
                    atMostUsd: (t.price as Row | null)?.atMostUsd,
                  })),
                  ['upstream', 'model', 'fallback', 'rests', 'atMostUsd'],
                ),
          ].join('\n'),
        )
      },
    )

  directoryCommands(stockyard, own, show)

  own(stockyard, 'logs', 'the newest exchanges')
    .option('--follow', 'go on with what comes')
    .option('--limit <n>', 'how many', '20')
    .option('--model <name>', 'only this model')
    .option('--outcome <outcome>', 'only done, refused, failed, client_cancel or partial')
    .action(async (flags: ClientFlags & { follow?: boolean; limit: string; model?: string; outcome?: string }) => {
      const filters = new URLSearchParams()
      if (flags.model) filters.set('model', flags.model)
      if (flags.outcome) filters.set('outcome', flags.outcome)
      const columns = [
        'at',
        'status',
        'error',
        'principal',
        'model',
        'upstream',
        'inputTokens',
        'outputTokens',
        'costUsd',
        'totalMs',
        'requestId',
      ]
      const read = async (more: Record<string, string>): Promise<{ entries: Row[]; cursor: string | null }> => {
        const query = new URLSearchParams([...filters, ...Object.entries(more)])
        const page = (await call(flags, 'GET', `logs?${query}`)) as { entries: Row[]; cursor: string | null }
        if (flags.json) return page
        return { ...page, entries: page.entries.map((e) => ({ ...e, totalMs: Math.round(Number(e.totalMs)) })) }
      }
      const { entries } = await read({ limit: flags.limit })
      show(flags, { entries }, () => table(entries, columns))
      let last = entries[0]?.requestId
      while (flags.follow) {
        await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS))
        const come: Row[] = []
        for (let cursor: string | null = ''; cursor !== null; ) {
          const page = await read({ limit: '200', ...(cursor ? { cursor } : {}) })
          const known = page.entries.findIndex((e) => e.requestId === last)
          come.push(...(known < 0 ? page.entries : page.entries.slice(0, known)))
          cursor = known < 0 ? page.cursor : null
        }
        last = come[0]?.requestId ?? last
        for (const entry of come.reverse())
          console.log(flags.json ? JSON.stringify(entry) : columns.map((c) => entry[c] ?? '').join('  '))
      }
    })

  own(stockyard, 'usage', 'tokens and money, from the ledger')
    .option(
      '--by <keys>',
      'any of organization, team, user, key, endUser, model, upstream, tag, day, hour, with commas',
      'model,upstream',
    )
    .option('--from <time>', 'ISO time')
    .option('--to <time>', 'ISO time')
    .action(async (flags: ClientFlags & { by: string; from?: string; to?: string }) => {
      const query = new URLSearchParams({ groupBy: flags.by })
      if (flags.from) query.set('from', flags.from)
      if (flags.to) query.set('to', flags.to)
      const answer = (await call(flags, 'GET', `usage?${query}`)) as { rows: (Row & { group: Row })[] }
      const rows = answer.rows.map((row) => {
        const tokens = row.tokens as Usage
        const group = Object.fromEntries(Object.entries(row.group).map(([name, value]) => [name, value || '-']))
        return { ...group, ...row, input: inputTokens(tokens), output: outputTokens(tokens) }
      })
      const columns = ['attempts', 'hits', 'failed', 'input', 'output', 'costUsd']
      show(flags, answer, () => table(rows, [...flags.by.split(','), ...columns]))
    })

  configurationCommands(stockyard, own, show)
  billingCommand(stockyard, own, show)

  own(stockyard, 'backup <directory>', 'consistent copies of all files, while running').action(
    async (directory: string, flags: ClientFlags) => {
      // The gateway may stand in another directory than whoever asks.
      const place = resolve(process.env.INIT_CWD ?? '.', directory)
      const answer = await call(flags, 'POST', 'backup', { directory: place })
      show(flags, answer, () => `backed up to ${place}`)
    },
  )
  own(stockyard, 'rotate-master-key', 'seal all secrets under another key')
    .requiredOption('--key-env <variable>', 'the environment variable that holds the new master key')
    .action(async (flags: ClientFlags & { keyEnv: string }) => {
      const masterKey = process.env[flags.keyEnv]
      if (!masterKey) fail(`${flags.keyEnv} is not set`)
      const answer = (await call(flags, 'POST', 'rotate-master-key', { masterKey })) as { sealed: number }
      show(flags, answer, () => `${answer.sealed} secrets are sealed under the new key`)
    })
}
