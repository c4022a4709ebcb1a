/**
 * `npm test`: runs every `*.test.ts` under src and test, each file in a process of its own, and says little: passes as a
 * count per folder, failures whole, skips by name with their reason.
 *
 *   npm test -- <substring>…    only files whose path contains one of them
 *   npm test -- --long          the `*.long.test.ts` files too, and the long form of tests that have one (STOCKYARD_LONG)
 *   npm test -- --kills 200     that many times where a test kills the gateway (STOCKYARD_KILLS)
 *   npm test -- --executable    only test/executable, which needs `npm run build` first
 *   npm test -- --timeout 60    seconds one file may take
 */
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
  },
})
const timeoutSeconds = Number(options.timeout ?? (options.long ? 3600 : 900))

const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'])
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.startsWith('test/executable/') === Boolean(options.executable))
  .filter((file) => options.long || !file.endsWith('.long.test.ts'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()

const passedIn = new Map<string, number>()
const skips: string[] = []
const output = new Map<string, string[]>()
const failedFiles = new Set<string>()
let passed = 0
let failed = 0

const startedAt = performance.now()
const queue = [...files]
// Two cores are the floor we plan for; more than four processes only make timings in tests noisier.
const atOnce = Math.min(4, Math.max(2, availableParallelism()))
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file)
  }),
)

/** Each file gets a process of its own, which is killed when its time is over: a timer left behind must not hang us. */
async function runFile(file: string): Promise<void> {
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
      output.set(file, [...(output.get(file) ?? []), event.message])
    })
  let tests = 0
  stream.on('test:pass', (event) => {
    if (isFileItself(event)) return
    tests += 1
    const left = event.skip ?? event.todo
    if (left !== undefined && left !== false) {
      const reason = typeof left === 'string' && left !== '' ? left : 'no reason given'
      skips.push(`${file}: ${pathOf(event)}: ${event.todo === undefined ? '' : 'to do: '}${reason}`)
    } else if (event.details.type !== 'suite') {
      passed += 1
      passedIn.set(dirname(file), (passedIn.get(dirname(file)) ?? 0) + 1)
    }
  })
  stream.on('test:fail', (event) => {
    tests += 1
    failedFiles.add(file)
    const error = event.details.error as Error & { failureType?: string }
    // The failure of what is around a failed test says nothing new.
    if (error.failureType === 'subtestsFailed') return
    failed += 1
    let what: unknown = error.cause ?? error
    if (timeout.aborted)
      what = `not done after ${timeoutSeconds} s${running.size > 0 ? `; still running: ${[...running].join(', ')}` : ''}`
    else if (isFileItself(event)) what = 'the file itself failed; its output is below'
    const name = isFileItself(event) ? 'the whole file' : pathOf(event)
    const where = event.line && !isFileItself(event) ? `${file}:${event.line}` : file
    // Frames of the runner itself lead nowhere.
    const text = (typeof what === 'string' ? what : inspect(what, { depth: 8 })).replace(
      /\n +at [^\n]*\(?node:(?:internal|async_hooks)[^\n]*?(?=\n| \{)/g,
      '',
    )
    console.log(`\nFAILED  ${name}\n        ${where}\n${indent(text)}`)
  })
  await new Promise<void>((done, broken) => {
    stream.on('end', done)
    stream.on('error', broken)
    stream.resume()
  })
  if (tests > 0) return
  failed += 1
  failedFiles.add(file)
  console.log(`\nFAILED  ${file}\n        holds no test`)
}

for (const file of failedFiles) {
  const text = (output.get(file) ?? []).join('').trimEnd()
  if (text !== '') console.log(`\noutput of ${file}\n${indent(text)}`)
}
if (passedIn.size > 0) console.log('')
for (const [folder, count] of [...passedIn].sort(([a], [b]) => a.localeCompare(b)))
  console.log(`${String(count).padStart(6)} passed  ${folder}`)
if (skips.length > 0) console.log(`\nskipped:\n${skips.map((skip) => `  ${skip}`).join('\n')}`)
if (files.length === 0) console.log(`no test file matches ${wanted.join(', ') || 'at all'}`)
else if (passed + failed === 0) console.log('no test ran')
console.log(`\n${files.length} files, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
console.log(`${passed} passed, ${failed} failed, ${skips.length} skipped`)
// A run in which everything was skipped is honest, one in which nothing was there is not.
process.exitCode = failed > 0 || failedFiles.size > 0 || passed + skips.length === 0 ? 1 : 0

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
