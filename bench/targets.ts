/**
 * What is measured side by side: the upstream itself, the raw floor, Stockyard in several states, and Portkey. Each starts
 * as a process of its own with the same flags, pinned to the same core, and is asked for chat completions by the same
 * bytes.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { GATEWAY_CORE, pinned, RIG_CORE } from './machine.ts'
import { ANTHROPIC_MODEL, CHAT_PATH, MODEL, requestBodies } from './workloads.ts'

export type TargetId =
  | 'direct'
  | 'raw'
  | 'off'
  | 'default'
  | 'bodies'
  | 'translated'
  | 'audit'
  | 'gateway'
  | 'crowd'
  | 'portkey'

export interface Target {
  readonly id: TargetId
  readonly port: number
  /** Absent for the upstream itself, which is no gateway. */
  readonly pid?: number
  readonly headers: Readonly<Record<string, string>>
  /** From the start of its process to its first good answer. */
  readonly coldStartMs?: number
  stop(): Promise<void>
}

export const LABELS: Readonly<Record<TargetId, string>> = {
  direct: 'direct',
  raw: 'raw',
  off: 'modules off',
  default: 'default',
  bodies: 'with bodies',
  translated: 'to Anthropic',
  audit: 'with audit',
  gateway: 'full gateway',
  crowd: 'gateway, crowd',
  portkey: 'Portkey',
}

const root = join(import.meta.dirname, '..')
const portkeyMain = join(import.meta.dirname, 'node_modules/@portkey-ai/gateway/build/start-server.js')
/** What `npm start` gives the product, given to everyone. */
const NODE_FLAGS = ['--max-semi-space-size=32']
const ADMIN_KEY = 'sk-sy-admin_of-the-bench-only'
const READY_MS = 20_000
export const executable = join(root, 'dist/stockyard')

type Child = ChildProcess & { readonly pid: number }

const running = new Set<Child>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
// An interrupted bench leaves nothing behind either.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))

function start(core: number, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Child {
  return launch(core, [process.execPath, ...args], environment)
}

function launch(core: number, program: readonly string[], environment: NodeJS.ProcessEnv): Child {
  const [command, ...rest] = pinned(core, program)
  // No key of a real provider may be in reach of a bench.
  const { PATH, HOME, TMPDIR } = process.env
  const env = { PATH, HOME, TMPDIR, NODE_ENV: 'production', ...environment }
  const child = spawn(command, rest, { cwd: root, env, stdio: ['pipe', 'pipe', 'inherit'] }) as Child
  if (child.pid === undefined) throw new Error(`could not start ${program[0]}`)
  running.add(child)
  child.on('exit', () => running.delete(child))
  return child
}

export async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 8_000)
  await gone
  clearTimeout(timer)
}

/** A child that prints its port on its first line. */
async function portOf(child: Child): Promise<number> {
  const text = await new Promise<string>((resolve, reject) => {
    child.stdout?.once('data', (line: Buffer) => resolve(line.toString()))
    child.once('exit', (code) => reject(new Error(`ended with ${code} before it listened`)))
  })
  child.stdout?.resume()
  return Number(text)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

/** Asks until the answer is good; the time since `since`. */
async function firstAnswer(child: Child, port: number, headers: Target['headers'], since: number): Promise<number> {
  let last = ''
  while (performance.now() - since < READY_MS) {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode} before it answered`)
    try {
      const reply = await fetch(`http://127.0.0.1:${port}${CHAT_PATH}`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: new Uint8Array(requestBodies.chat),
      })
      last = await reply.text()
      if (reply.status === 200) return performance.now() - since
    } catch (error) {
      last = String(error)
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`no good answer in ${READY_MS} ms; the last was ${last.slice(0, 300)}`)
}

export async function startUpstream(): Promise<{ readonly port: number; readonly child: Child }> {
  const child = start(RIG_CORE, [join(import.meta.dirname, 'upstream.ts')])
  return { port: await portOf(child), child }
}

async function startRaw(upstreamPort: number): Promise<Target> {
  const since = performance.now()
  const child = start(GATEWAY_CORE, [...NODE_FLAGS, join(import.meta.dirname, 'raw.ts'), `${upstreamPort}`])
  const port = await portOf(child)
  const coldStartMs = await firstAnswer(child, port, {}, since)
  return { id: 'raw', port, pid: child.pid, headers: {}, coldStartMs, stop: () => stopped(child) }
}

async function startStockyard(
  id: 'off' | 'default' | 'bodies' | 'translated' | 'audit' | 'gateway' | 'crowd',
  upstreamPort: number,
): Promise<Target> {
  const { child, port, coldStartMs, stop } = await freshStockyard(
    [process.execPath, ...NODE_FLAGS, join(root, 'scripts/start.mjs')],
    upstreamPort,
    id === 'crowd' ? gather : undefined,
  )

  const admin = async (method: string, path: string, body?: object): Promise<unknown> => {
    const reply = await fetch(`http://127.0.0.1:${port}/api/${path}`, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    if (!reply.ok) throw new Error(`${method} /api/${path}: ${reply.status} ${await reply.text()}`)
    return reply.json()
  }
  if (id === 'off') {
    const { modules } = (await admin('GET', 'modules')) as { modules: { id: string }[] }
    for (const module of modules) await admin('PUT', `modules/${module.id}`, { mode: 'off' })
  }
  if (id === 'translated') {
    await admin('PUT', `routes/${MODEL}`, { targets: [{ upstream: 'anthropic', model: ANTHROPIC_MODEL }] })
  }
  if (id === 'bodies') await admin('PUT', 'modules/logs', { settings: { bodies: true } })
  if (id === 'audit') await admin('PUT', 'modules/audit', { mode: 'enforce', settings: { level: 'metadata' } })
  const headers = id === 'gateway' || id === 'crowd' ? await asGateway(admin) : {}
  return { id, port, pid: child.pid, headers, coldStartMs, stop }
}

/** A program that serves, in a data directory that is new; or, if that is given what `fill` does, started a second time. */
async function freshStockyard(program: readonly string[], upstreamPort: number, fill?: (database: string) => void) {
  const dataDir = mkdtempSync(join(tmpdir(), 'stockyard-bench-'))
  process.on('exit', () => rmSync(dataDir, { recursive: true, force: true }))
  const begin = async () => {
    const port = await freePort()
    const since = performance.now()
    const child = launch(GATEWAY_CORE, [...program, 'serve', '--port', `${port}`, '--data-dir', dataDir], {
      STOCKYARD_ADMIN_KEY: ADMIN_KEY,
      STOCKYARD_LOG_LEVEL: 'error',
      OPENAI_API_KEY: 'sk-bench',
      OPENAI_BASE_URL: `http://127.0.0.1:${upstreamPort}/v1`,
      ANTHROPIC_API_KEY: 'sk-ant-bench',
      ANTHROPIC_BASE_URL: `http://127.0.0.1:${upstreamPort}`,
    })
    child.stdout?.resume()
    return { child, port, coldStartMs: await firstAnswer(child, port, {}, since) }
  }
  let { child, port, coldStartMs } = await begin()
  if (fill) {
    await stopped(child)
    fill(join(dataDir, 'stockyard.db'))
    ;({ child, port, coldStartMs } = await begin())
  }
  const stop = async (): Promise<void> => {
    await stopped(child)
    rmSync(dataDir, { recursive: true, force: true })
  }
  return { child, port, coldStartMs, stop }
}

/** From the start of the executable to its first good answer. */
export async function executableStartMs(upstreamPort: number): Promise<number> {
  const { coldStartMs, stop } = await freshStockyard([executable], upstreamPort)
  await stop()
  return coldStartMs
}

/** What `npm start` bundles when it has to, which is no part of a start; and V8's compiled code with it. */
export function prepareStart(): void {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts/start.mjs'), 'version'], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`the product does not start: ${stderr}`)
}

/** Keys, rate limits on four scopes, budgets on four scopes; the ledger and logs without bodies are on anyway. */
async function asGateway(admin: (method: string, path: string, body?: object) => Promise<unknown>) {
  await admin('POST', 'organizations', { id: 'bench' })
  await admin('POST', 'teams', { id: 'team', organization: 'bench' })
  await admin('POST', 'users', {
    id: 'service',
    kind: 'service',
    memberships: [{ organization: 'bench', team: 'team', role: 'member' }],
  })
  const made = (await admin('POST', 'keys', { organization: 'bench', team: 'team', user: 'service' })) as {
    id: string
    key: string
  }
  const scopes = [{ organization: 'bench' }, { team: 'team' }, { user: 'service' }, { key: made.id }]
  for (const scope of scopes) {
    await admin('POST', 'limits', { scope, counts: 'tokens', per: 'minute', amount: 1_000_000_000_000 })
    await admin('POST', 'budgets', { scope, amountUsd: '1000000', window: { kind: 'calendar', unit: 'month' } })
  }
  for (const id of ['keys', 'rate-limits', 'budgets']) await admin('PUT', `modules/${id}`, { mode: 'enforce' })
  return { authorization: `Bearer ${made.key}` }
}

/** A hundred thousand keys in ten thousand teams, each with a limit and a budget of its own, in a directory that is not in use. */
function gather(path: string): void {
  const db = new DatabaseSync(path)
  const row = (kind: string, rest: string) => `
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${kind === 'key' ? CROWD.keys : CROWD.teams})
    INSERT INTO directory_rows (kind, id, organization, team, anchor, value, proof, version, created_at, updated_at)
    SELECT '${kind}', ${rest}, 1, 0, 0 FROM n`
  const window = `json('{"kind":"calendar","unit":"month"}')`
  db.exec(`BEGIN;
    INSERT INTO directory_rows (kind, id, value, version, created_at, updated_at) VALUES ('organization', 'crowd', '{}', 1, 0, 0);
    ${row('team', `'team' || i, 'crowd', NULL, NULL, '{"organization":"crowd"}', NULL`)};
    ${row(
      'key',
      `printf('crowd%07d', i), 'crowd', 'team' || (1 + i % ${CROWD.teams}), NULL,
       json_object('organization', 'crowd', 'team', 'team' || (1 + i % ${CROWD.teams})), '{"mac":""}'`,
    )};
    ${row(
      'limit',
      `'l' || i, NULL, NULL, 'team:team' || i,
       json_object('scope', json_object('team', 'team' || i), 'counts', 'tokens', 'per', 'minute', 'amount', 1000000), NULL`,
    )};
    ${row(
      'budget',
      `'b' || i, NULL, NULL, 'team:team' || i,
       json_object('scope', json_object('team', 'team' || i), 'amountUsd', '100', 'window', ${window}), NULL`,
    )};
    COMMIT`)
  db.close()
}
export const CROWD = { keys: 100_000, teams: 10_000 } as const

/** Installs what bench/package.json names, when it is not there. Answers why it could not, if so. */
export function installPortkey(): string | undefined {
  if (existsSync(portkeyMain)) return undefined
  console.log('installing what the bench compares with (npm ci --prefix bench) …')
  const npm = spawnSync('npm', ['ci', '--prefix', import.meta.dirname], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
    timeout: 180_000,
  })
  if (npm.status === 0 && existsSync(portkeyMain)) return undefined
  return `npm ci --prefix bench failed: ${(npm.stderr || String(npm.error)).trim().slice(-300)}`
}

export function portkeyVersion(): string {
  return (JSON.parse(readFileSync(join(portkeyMain, '../../package.json'), 'utf8')) as { version: string }).version
}

async function startPortkey(upstreamPort: number): Promise<Target> {
  const port = await freePort()
  const headers = {
    authorization: 'Bearer sk-bench',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `http://127.0.0.1:${upstreamPort}/v1`,
  }
  const since = performance.now()
  const child = start(GATEWAY_CORE, [...NODE_FLAGS, portkeyMain, '--headless', `--port=${port}`], {
    TRUSTED_CUSTOM_HOSTS: '127.0.0.1,localhost',
  })
  child.stdout?.resume()
  const coldStartMs = await firstAnswer(child, port, headers, since)
  return { id: 'portkey', port, pid: child.pid, headers, coldStartMs, stop: () => stopped(child) }
}

export function startTarget(id: TargetId, upstreamPort: number): Promise<Target> {
  if (id === 'direct') return Promise.resolve({ id, port: upstreamPort, headers: {}, stop: async () => undefined })
  if (id === 'raw') return startRaw(upstreamPort)
  if (id === 'portkey') return startPortkey(upstreamPort)
  return startStockyard(id, upstreamPort)
}
