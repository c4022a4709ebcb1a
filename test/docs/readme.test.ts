/**
 * Runs README.md from top to bottom against a gateway of its own: every `sh` and `js` snippet, with address and data
 * directory replaced. A line `# → text` (or `// → text`) is what the commands above it must print. Lines that install or
 * start something are not run; the scripts they call must exist.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort } from '../../scripts/free-port.ts'
import { type Fence, fencesOf, readPage, root } from './markdown.ts'

const STARTS = /^(?:[A-Z_]+=\S+ )?npm (?:ci|start|ci && npm (?:start|test))$/
const EXPECTS = /^(?:#|\/\/) → (.+)$/
const LONGEST_MS = 120_000

interface Step {
  readonly commands: string
  readonly prints: readonly string[]
}

/** A snippet as steps: commands, then what they print. */
function stepsOf({ text }: Fence): Step[] {
  const steps: { commands: string[]; prints: string[] }[] = []
  for (const line of text.split('\n')) {
    const expected = EXPECTS.exec(line)?.[1]
    const last = steps.at(-1)
    if (expected !== undefined && last) last.prints.push(expected)
    else if (STARTS.test(line)) continue
    else if (last && last.prints.length === 0) last.commands.push(line)
    else steps.push({ commands: [line], prints: [] })
  }
  return steps.map(({ commands, prints }) => ({ commands: commands.join('\n'), prints }))
}

interface Printed {
  readonly status: number | null
  readonly out: string
  readonly all: string
}

function runStep(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Printed> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: LONGEST_MS })
    let out = ''
    let all = ''
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk
      all += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      all += chunk
    })
    child.on('error', reject)
    child.on('close', (status) => resolve({ status, out, all }))
  })
}

function started(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    const hear = (chunk: Buffer): void => {
      said += chunk
      const url = /listens on (http:\S+)/.exec(said)?.[1]
      if (url) resolve(url)
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.on('exit', (code) => reject(new Error(`the gateway ended with ${code}:\n${said}`)))
  })
}

const snippets = fencesOf(readPage('README.md')).filter(({ language }) => language === 'sh' || language === 'js')

test('the two commands of README.md are scripts of package.json', () => {
  const { scripts } = JSON.parse(readPage('package.json')) as { scripts: Record<string, string> }
  const lines = snippets.flatMap(({ text }) => text.split('\n')).filter((line) => STARTS.test(line))
  assert.ok(lines.includes('npm ci && npm start'), 'README.md says how to start')
  assert.ok(lines.includes('npm ci && npm test'), 'README.md says how to test')
  assert.match(scripts.start ?? '', /scripts\/start\.mjs/)
  assert.ok(scripts.test)
})

test('npm start passes on what stands after --', async (t) => {
  if (spawnSync('npm', ['--version']).error) return t.skip('needs npm')
  const { status, out, all } = await runStep('npm', ['start', '--', 'version'], process.env)
  assert.equal(status, 0, all)
  assert.match(out, /^stockyard \d+\.\d+\.\d+ \(Node 26\./m)
})

test('the snippets of README.md do what it says', { timeout: 600_000 }, async (t) => {
  for (const program of ['sh', 'curl']) {
    if (spawnSync(program, ['-c', ':']).error) return t.skip(`needs ${program}`)
  }
  const home = mkdtempSync(join(tmpdir(), 'stockyard-readme-'))
  const dataDir = join(home, 'data')
  // Nothing of whoever runs the tests: no key, no proxy, no other gateway.
  const env = { PATH: process.env.PATH, HOME: home, NO_COLOR: '1' }
  const gateway = spawn(process.execPath, ['scripts/start.mjs', '--port', '0', '--data-dir', dataDir], {
    cwd: root,
    env,
  })
  const over = new Promise((resolve) => gateway.once('exit', resolve))
  t.after(async () => {
    gateway.kill('SIGTERM')
    await over
    rmSync(home, { recursive: true, force: true })
  })
  const url = await started(gateway)
  const nobody = await freePort()
  const local = (text: string): string =>
    text
      .replaceAll('/tmp/', `${home}/`)
      .replaceAll('~/.stockyard', dataDir)
      .replaceAll('http://127.0.0.1:4200', url)
      .replaceAll('http://127.0.0.1:11434', `http://127.0.0.1:${nobody}`)
      // What the script does, without a second of npm each time.
      .replaceAll('npm start --', `'${process.execPath}' scripts/start.mjs`)

  let run = 0
  for (const snippet of snippets) {
    for (const { commands, prints } of stepsOf(snippet)) {
      await t.test(`line ${snippet.line}: ${commands.split('\n', 1)[0]}`, async () => {
        assert.ok(prints.length > 0, `README.md does not say what this prints:\n${commands}`)
        const { status, out, all } = await (snippet.language === 'js'
          ? runStep(process.execPath, ['--input-type=module', '--eval', local(commands)], env)
          : runStep('sh', ['-euc', local(commands)], { ...env, STOCKYARD_URL: url, STOCKYARD_DATA_DIR: dataDir }))
        assert.equal(status, 0, all)
        for (const expected of prints.map(local)) {
          assert.ok(out.includes(expected), `"${expected}" is not in what\n${commands}\nprinted:\n${all}`)
        }
      })
      run++
    }
  }
  assert.ok(run >= 10, 'the snippets were found')
})
