/**
 * `npm test`: runs every `*.test.ts` under src and test, each file in a process of its own, and says little: passes as a
 * count per folder, failures whole, skips by name with their reason.
 *
 *   npm test -- <substring>…    only files whose path contains one of them
 *   npm test -- --long          the `*.long.test.ts` files too, and the long form of tests that have one (STOCKYARD_LONG)
 *   npm test -- --kills 200     that many times where a test kills the gateway (STOCKYARD_KILLS)
 *   npm test -- --executable    only test/executable, which needs `npm run build` first
 *   npm test -- --timeout 60    seconds one file may take
 *   npm test -- --times         how long each of the slowest files took, too
 *   npm test -- --strict        a file that fails fails the run; otherwise it gets a second run
 *
 * A file that failed is run a second time, alone, when the rest is done. If all of it passes then, the run passes, and
 * the failure, printed whole, counts as `unsteady`: a fault to be found, but not one of the change at hand. A file that
 * fails twice or hangs, and more than a few files that fail, fail the run as ever.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { run } from 'node:test'
import { inspect, parseArgs } from 'node:util'

const root = resolve(import.meta.dirname, '..')
process.chdir(root)
const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    long: { type: 'boolean' },
    executable: { type: 'boolean' },
    kills: { type: 'string' },
    timeout: { type: 'string' },
    times: { type: 'boolean' },
    strict: { type: 'boolean' },
  },
})
const timeoutSeconds = Number(options.timeout ?? (options.long ? 3600 : 900))

const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'])
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.startsWith('test/executable/') === Boolean(options.executable))
  .filter((file) => options.long || !file.endsWith('.long.test.ts'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()

/** With more than this many the machine or the change is broken, and a second run would only take time. */
const MOST_SECOND_RUNS = 3

/** What one run of one file came to. */
interface Result {
  readonly file: string
  passed: number
  /** Name and place of each. */
  readonly failures: string[]
  readonly skips: string[]
  /** The file was killed when its time was over. */
  hung: boolean
  output: string
  seconds: number
}

const startedAt = performance.now()
// What `npm start` runs is made once, before several tests that start it find it old.
spawnSync(process.execPath, [join(root, 'scripts/start.mjs'), 'version'], { stdio: 'ignore' })
const queue = [...files]
let results: Result[] = []
// Two cores are the floor we plan for; more than four processes only make timings in tests noisier.
const atOnce = Math.min(4, Math.max(2, availableParallelism()))
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) results.push(await runFile(file))
  }),
)

const broken = results.filter((result) => result.failures.length > 0)
for (const { file, output } of broken) {
  if (output.trim() !== '') console.log(`\noutput of ${file}\n${indent(output.trimEnd())}`)
}
const unsteady: string[] = []
if (!options.strict && broken.length <= MOST_SECOND_RUNS && !broken.some((result) => result.hung)) {
  for (const first of broken) {
    console.log(`\nonce more, alone: ${first.file}`)
    const second = await runFile(first.file)
    if (second.failures.length > 0) continue
    unsteady.push(...first.failures)
    results = results.map((result) => (result === first ? second : result))
  }
}

/** Each file gets a process of its own, which is killed when its time is over: a timer left behind must not hang us. */
async function runFile(file: string): Promise<Result> {
  const result: Result = { file, passed: 0, failures: [], skips: [], hung: false, output: '', seconds: 0 }
  const begun = performance.now()
  const fail = (name: string, where: string, text: string): void => {
    result.failures.push(`${name}\n    ${where}`)
    console.log(`\nFAILED  ${name}\n        ${where}\n${indent(text)}`)
  }
  const timeout = AbortSignal.timeout(timeoutSeconds * 1000)
  const stream = run({
    files: [join(root, file)],
    cwd: root,
    signal: timeout,
    execArgv: ['--import', join(root, 'scripts/test-limit.mjs')],
    env: {
      ...process.env,
      NODE_ENV: 'test',
      NO_COLOR: '1',
      FORCE_COLOR: undefined,
      STOCKYARD_TEST_SECONDS: String(timeoutSeconds),
      ...(options.long ? { STOCKYARD_LONG: '1' } : {}),
      ...(options.kills ? { STOCKYARD_KILLS: options.kills } : {}),
    },
  })
  // The names around a test, outermost first, and the tests that have begun and not ended.
  let around: string[] = []
  const running = new Set<string>()
  const pathOf = (event: { name: string; nesting: number }) =>
    [...around.slice(0, event.nesting), event.name].join(' › ')
  stream.on('test:start', (event) => {
    around = [...around.slice(0, event.nesting), event.name]
  })
  stream.on('test:dequeue', (event) => {
    if (!isFileItself(event)) running.add(event.name)
  })
  stream.on('test:complete', (event) => running.delete(event.name))
  for (const kind of ['test:stdout', 'test:stderr'] as const)
    stream.on(kind, (event) => {
      result.output += event.message
    })
  let tests = 0
  stream.on('test:pass', (event) => {
    if (isFileItself(event)) return
    tests += 1
    const left = event.skip ?? event.todo
    if (left !== undefined && left !== false) {
      const reason = typeof left === 'string' && left !== '' ? left : 'no reason given'
      result.skips.push(`${file}: ${pathOf(event)}: ${event.todo === undefined ? '' : 'to do: '}${reason}`)
    } else if (event.details.type !== 'suite') {
      result.passed += 1
    }
  })
  stream.on('test:fail', (event) => {
    tests += 1
    const error = event.details.error as Error & { failureType?: string }
    // The failure of what is around a failed test says nothing new.
    if (error.failureType === 'subtestsFailed') return
    let what: unknown = error.cause ?? error
    result.hung = timeout.aborted
    if (result.hung)
      what = `not done after ${timeoutSeconds} s${running.size > 0 ? `; still running: ${[...running].join(', ')}` : ''}`
    else if (isFileItself(event)) what = 'the file itself failed; its output is below'
    const name = isFileItself(event) ? 'the whole file' : pathOf(event)
    const where = event.line && !isFileItself(event) ? `${file}:${event.line}` : file
    // Frames of the runner itself lead nowhere.
    const text = (typeof what === 'string' ? what : inspect(what, { depth: 8 })).replace(
      /\n +at [^\n]*\(?node:(?:internal|async_hooks)[^\n]*?(?=\n| \{)/g,
      '',
    )
    fail(name, where, text)
  })
  await new Promise<void>((done, broken) => {
    stream.on('end', done)
    stream.on('error', broken)
    stream.resume()
  })
  result.seconds = (performance.now() - begun) / 1000
  if (tests === 0) fail('the whole file', file, 'holds no test')
  return result
}

const passedIn = new Map<string, number>()
for (const { file, passed } of results) {
  if (passed > 0) passedIn.set(dirname(file), (passedIn.get(dirname(file)) ?? 0) + passed)
}
const passed = results.reduce((sum, result) => sum + result.passed, 0)
const failures = results.flatMap((result) => result.failures)
const skips = results.flatMap((result) => result.skips)
if (passedIn.size > 0) console.log('')
for (const [folder, count] of [...passedIn].sort(([a], [b]) => a.localeCompare(b)))
  console.log(`${String(count).padStart(6)} passed  ${folder}`)
if (skips.length > 0) console.log(`\nskipped:\n${skips.map((skip) => `  ${skip}`).join('\n')}`)
if (unsteady.length > 0)
  console.log(`\nUNSTEADY: failed and then passed alone; find out why\n${unsteady.map((one) => `  ${one}`).join('\n')}`)
if (options.times) {
  const slowest = [...results].sort((a, b) => b.seconds - a.seconds).slice(0, 25)
  console.log(`\nslowest:\n${slowest.map((one) => `${one.seconds.toFixed(1).padStart(8)} s  ${one.file}`).join('\n')}`)
}
if (files.length === 0) console.log(`no test file matches ${wanted.join(', ') || 'at all'}`)
else if (passed + failures.length === 0) console.log('no test ran')
console.log(`\n${files.length} files, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
const unsteadyToo = unsteady.length > 0 ? `, ${unsteady.length} unsteady` : ''
console.log(`${passed} passed, ${failures.length} failed, ${skips.length} skipped${unsteadyToo}`)
// A run in which everything was skipped is honest, one in which nothing was there is not.
process.exitCode = failures.length > 0 || passed + skips.length === 0 ? 1 : 0

/** Each file is reported as a test as well: with its path as the name when it holds no test or could not be loaded. */
function isFileItself(event: { name: string; file?: string; nesting: number }): boolean {
  return event.nesting === 0 && /\.test\.ts$/.test(event.name) && (!event.file || resolve(event.name) === event.file)
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `        ${line}`)
    .join('\n')
}
