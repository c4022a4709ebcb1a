/**
 * A life of the executable in an empty folder: start, first answer, every command, the SDK, a toggle, SIGKILL, start again,
 * and everything is still there.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { exchange, until } from '../running/index.ts'
import { openaiSuite } from '../sdk/openai-suite.ts'

const executable = join(resolve(import.meta.dirname, '../..'), 'dist', 'stockyard')
const skip = existsSync(executable) ? false : 'dist/stockyard is not there: npm run build'
const folder = mkdtempSync(join(tmpdir(), 'stockyard-life-'))
const dataDir = join(folder, 'data')
const base = { PATH: '/usr/bin:/bin', HOME: folder }
let mock: Started
let gateway: Started

interface Started {
  readonly child: ChildProcess
  readonly url: string
  readonly said: string
  readonly readyMs: number
}

/** Starts the executable and waits until it says its address. */
function start(args: readonly string[], env: Record<string, string>): Promise<Started> {
  const started = performance.now()
  const child = spawn(executable, args, { cwd: folder, env: { ...base, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no address within 20 s: ${said}`)), 20_000)
    const hear = (part: Buffer): void => {
      said += part.toString()
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0]
      if (!url || !said.endsWith('\n')) return
      clearTimeout(timer)
      resolve({ child, url, said, readyMs: performance.now() - started })
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('exit', (code) => reject(new Error(`it ended with ${code}: ${said}`)))
  })
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  return new Promise((resolve) => {
    child.once('exit', resolve)
    child.kill(signal)
  })
}

const startGateway = () =>
  start(['--port', '0', '--data-dir', dataDir], {
    OPENAI_API_KEY: 'sk-test',
    OPENAI_BASE_URL: `${mock.url}/v1`,
    ANTHROPIC_API_KEY: 'sk-ant-test',
    ANTHROPIC_BASE_URL: mock.url,
    GEMINI_API_KEY: 'AIza-test',
    GOOGLE_GEMINI_BASE_URL: mock.url,
  })

function command(...args: string[]) {
  const done = spawnSync(executable, args, {
    cwd: folder,
    env: {
      ...base,
      STOCKYARD_URL: gateway.url,
      STOCKYARD_DATA_DIR: dataDir,
      NEW_MASTER: 'a new master key, long enough',
      UPSTREAM_KEY: 'sk-test',
    },
    encoding: 'utf8',
    timeout: 20_000,
  })
  assert.equal(done.status, 0, `${args.join(' ')}: ${done.stderr}${done.stdout}`)
  return done.stdout
}

before(async () => {
  if (skip) return
  mock = await start(['mock', '--port', '0'], {})
  gateway = await startGateway()
  for (const id of ['bedrock', 'cohere']) {
    command('upstreams', 'set', id, '--provider', id, '--base-url', mock.url, '--secret-env', 'UPSTREAM_KEY')
  }
})
after(async () => {
  for (const each of [gateway, mock]) if (each && each.child.exitCode === null) await ended(each.child, 'SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const chat = (text: string) =>
  exchange(`${gateway.url}/v1/chat/completions`, 'POST', {
    model: 'openai/gpt-4o-mini',
    messages: [{ role: 'user', content: text }],
  })

test('A17: the first start shows an admin key once, and finds the upstreams of the environment', { skip }, () => {
  assert.match(gateway.said, /Admin key {2}sk-sy-admin_/)
  for (const id of ['openai', 'anthropic', 'gemini']) assert.match(gateway.said, new RegExp(`${id} \\(environment\\)`))
})

test('a chat through the scripted provider', { skip }, async () => {
  const answer = await chat('first')
  assert.equal(answer.status, 200)
  assert.equal(answer.json.choices[0].message.content, 'echo: first')
})

if (!skip) openaiSuite(() => gateway.url)

test('every command answers, as text and as JSON', { skip }, async () => {
  await until(() => JSON.parse(command('logs', '--json')).entries.length > 0, 'something is logged', 5_000)
  writeFileSync(join(folder, 'stockyard.yaml'), 'aliases:\n  filed:\n    model: openai/gpt-4o\n')
  const commands = [
    ['version'],
    ['modules', 'list'],
    ['modules', 'show', 'cache'],
    ['upstreams', 'list'],
    ['upstreams', 'set', 'mine', '--provider', 'custom', '--base-url', 'http://127.0.0.1:9/v1'],
    ['upstreams', 'remove', 'mine'],
    ['routes', 'set', 'house', 'openai/gpt-4o', 'anthropic/claude-sonnet-4-5'],
    ['routes', 'list'],
    ['routes', 'remove', 'house'],
    ['logs'],
    ['usage'],
    ['config', 'export'],
    ['config', 'plan', 'stockyard.yaml'],
    ['config', 'apply', 'stockyard.yaml'],
    ['doctor'],
  ]
  for (const args of commands) assert.ok(command(...args).trim().length > 0, args.join(' '))
  for (const args of [
    ['version'],
    ['modules', 'list'],
    ['upstreams', 'list'],
    ['routes', 'list'],
    ['usage'],
    ['config', 'export'],
    ['doctor'],
  ]) {
    JSON.parse(command(...args, '--json'))
  }
  assert.match(command('--help'), /serve/)
})

test('a toggle, the log and the ledger survive SIGKILL; the backup can be restored', { skip }, async () => {
  command('modules', 'set', 'cache', 'enforce', '--settings', '{"ttlSeconds":600}')
  assert.equal((await chat('keep me')).headers['x-stockyard-cache'], 'miss')
  assert.equal((await chat('keep me')).headers['x-stockyard-cache'], 'hit')
  const before = JSON.parse(command('usage', '--json')).rows
  await until(() => JSON.parse(command('logs', '--json')).entries[0].cache === 'hit', 'the hit is logged', 5_000)
  command('backup', join(folder, 'backup'))
  await ended(gateway.child, 'SIGKILL')
  gateway = await startGateway()
  assert.equal(JSON.parse(command('modules', 'show', 'cache', '--json')).settings.ttlSeconds, 600)
  assert.deepEqual(JSON.parse(command('usage', '--json')).rows, before)
  assert.ok(JSON.parse(command('logs', '--json')).entries.length > 2)
  assert.ok(JSON.parse(command('config', 'export', '--json')).aliases.filed)
  command('rotate-master-key', '--key-env', 'NEW_MASTER')
  const other = join(folder, 'restored')
  const done = spawnSync(executable, ['restore', join(folder, 'backup'), '--data-dir', other], {
    env: base,
    encoding: 'utf8',
  })
  assert.equal(done.status, 0, done.stderr)
  assert.ok(readFileSync(join(other, 'ledger.db')).length > 0)
})

test('SIGTERM ends it in order, with exit code 0', { skip }, async () => {
  assert.equal(await ended(gateway.child, 'SIGTERM'), 0)
})

test('A96: started again, it answers soon', { skip }, async (t) => {
  const started = performance.now()
  gateway = await startGateway()
  assert.equal((await chat('again')).status, 200)
  const took = performance.now() - started
  t.diagnostic(`cold start to first answer: ${took.toFixed(0)} ms`)
  assert.ok(took < 10_000)
})
