/**
 * `stockyard connect <client>`: the settings with which a coding agent or a chat talks through the gateway. Prints them, and
 * with `--write` shows what would change in the client's own file and changes it.
 */
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname } from 'node:path'
import { Argument, type Command } from 'commander'
import { request } from 'undici'
import { fail } from '../words.ts'
import { CLIENTS, type Client, type Gateway } from './clients.ts'
import { changed, difference } from './settings.ts'

interface Flags {
  readonly url: string
  readonly key?: string
  readonly model?: string
  readonly write?: boolean
  readonly json?: boolean
}

/** For clients that insist on a key, where the gateway needs none: callers on this machine are known as such. */
const NO_KEY = 'stockyard-local'

export function connectCommand(stockyard: Command): void {
  stockyard
    .command('connect')
    .description('let a coding agent or a chat talk through the gateway')
    .addArgument(new Argument('<client>', 'which').choices(CLIENTS.map(({ id }) => id)))
    .option('--url <address>', 'the gateway', process.env.STOCKYARD_URL ?? 'http://127.0.0.1:4200')
    .option('--key <key>', 'a key of the gateway', process.env.STOCKYARD_API_KEY)
    .option('--model <name>', 'the model to use; else the first that the gateway lists')
    .option('--write', "change the client's own settings, after showing the difference")
    .option('--json', 'as JSON')
    .action(async (id: string, flags: Flags) => {
      const client = CLIENTS.find((each) => each.id === id) as Client
      const gateway = await gatewayOf(client, flags)
      const plan = planOf(client, gateway, homedir())
      if (flags.json) console.log(JSON.stringify(plan, null, 2))
      else show(client, plan, flags.write === true)
      if (!flags.write) return
      if (!plan.file) fail(`${client.title} has no settings file that could be written; follow the steps.`)
      if (plan.file.before !== plan.file.after) write(plan.file.path, plan.file.after)
    })
}

async function gatewayOf(client: Client, { url, key, model }: Flags): Promise<Gateway> {
  const base = url.replace(/\/+$/, '')
  const named = model ?? (client.needsModel ? await firstModel(base, key) : '')
  return { url: base, key: key ?? NO_KEY, hasKey: key !== undefined, model: named }
}

async function firstModel(url: string, key: string | undefined): Promise<string> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  try {
    const answer = await request(`${url}/v1/models`, { headers })
    const { data } = (await answer.body.json()) as { data?: { id: string }[] }
    const [first] = data ?? []
    if (first) return first.id
  } catch {
    // Said below.
  }
  return fail(`no gateway lists its models at ${url}. Start it, name it with --url and --key, or give a --model.`)
}

interface Plan {
  readonly client: string
  readonly file?: { readonly path: string; readonly before: string; readonly after: string }
  readonly steps: readonly string[]
  readonly limits: readonly string[]
}

export function planOf(client: Client, gateway: Gateway, home: string, environment = process.env): Plan {
  const { id, limits } = client
  const steps = client.steps(gateway)
  const settings = client.settings?.(gateway, home, environment)
  if (!settings) return { client: id, steps, limits }
  const before = existsSync(settings.path) ? readFileSync(settings.path, 'utf8') : ''
  try {
    const after = changed(before, settings)
    return { client: id, file: { path: settings.path, before, after }, steps, limits }
  } catch (error) {
    return fail(
      `${settings.path} cannot be read as ${settings.format} (${(error as Error).message}); nothing was changed.`,
    )
  }
}

function show({ title }: Client, { file, steps, limits }: Plan, writes: boolean): void {
  const lines = [`${title}`]
  if (file && file.before === file.after) lines.push('', `${file.path} is as it should be.`)
  else if (file) {
    lines.push('', `${file.path}${file.before === '' ? ' (new)' : ''}`, '')
    lines.push(...difference(file.before, file.after).map((line) => `  ${line}`))
    lines.push('', writes ? `Written.` : 'Nothing is written yet: add --write, or change it by hand.')
  }
  if (steps.length > 0) lines.push('', 'Then:', ...steps.map((step) => `  ${step}`))
  if (limits.length > 0) lines.push('', 'Good to know:', ...limits.map((limit) => `  - ${limit}`))
  console.log(lines.join('\n'))
}

/** It may hold a key, so only its owner reads a new one. What was there before stays beside it, once. */
function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  const isOld = existsSync(path)
  const mode = isOld ? statSync(path).mode & 0o777 : 0o600
  const kept = `${path}.before-stockyard`
  if (isOld && !existsSync(kept)) writeFileSync(kept, readFileSync(path), { mode })
  // Whoever keeps it elsewhere, behind a link, keeps it there.
  const place = isOld ? realpathSync(path) : path
  const fresh = `${place}.new-${process.pid}`
  writeFileSync(fresh, text, { mode })
  renameSync(fresh, place)
}
