/**
 * `npm run check`: everything that can be said about the tree without running the product. One line a step; the output
 * of a step is shown only when it fails.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')

const steps: readonly (readonly [name: string, ...command: string[]])[] = [
  ['format and lint', 'node_modules/@biomejs/biome/bin/biome', 'ci', '--error-on-warnings', '.'],
  ['types', 'node_modules/typescript/bin/tsc', '--noEmit'],
  ['generated lists', 'scripts/generate.ts', '--check'],
  ...globSync('scripts/*-doc.ts', { cwd: root })
    .sort()
    .map((script) => [`generated page: ${script}`, script, '--check'] as const),
  ['prices', 'scripts/prices.ts', '--check'],
  ['house rules', 'scripts/test.ts', 'test/house/'],
]

for (const [name, ...command] of steps) {
  const startedAt = performance.now()
  const done = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  const passed = done.status === 0
  console.log(`${passed ? 'ok    ' : 'FAILED'}  ${name}  ${seconds} s`)
  if (passed) continue
  process.exitCode = 1
  process.stdout.write(`${done.stdout}${done.stderr}${done.error ? `${done.error}\n` : ''}\n`)
}
