/**
 * The provider and the module that CONTRIBUTING.md shows are real: laid beside a copy of the tree they are listed,
 * type-checked under the project's own settings, loaded, and pass their own test.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { generate } from '../../scripts/generate.ts'
import type { Module } from '../../src/core/module.ts'
import type { Provider } from '../../src/core/provider.ts'
import { parseStrict } from '../../src/core/settings.ts'
import { fencesOf, readPage, root } from './markdown.ts'

const files = fencesOf(readPage('CONTRIBUTING.md')).filter(({ language }) => language === 'ts')
const LONGEST_MS = 120_000
let tree = ''
const run = (...args: string[]) =>
  spawnSync(process.execPath, args, {
    cwd: tree,
    encoding: 'utf8',
    timeout: LONGEST_MS,
    env: { PATH: process.env.PATH },
  })

before(() => {
  tree = mkdtempSync(join(tmpdir(), 'stockyard-contributing-'))
  cpSync(join(root, 'src/core'), join(tree, 'src/core'), {
    recursive: true,
    filter: (path) => !/\.test\.ts$/.test(path),
  })
  cpSync(join(root, 'tsconfig.json'), join(tree, 'tsconfig.json'))
  cpSync(join(root, 'package.json'), join(tree, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'), 'junction')
  for (const { info, text } of files) {
    mkdirSync(dirname(join(tree, info)), { recursive: true })
    writeFileSync(join(tree, info), `${text}\n`)
  }
})
after(() => rmSync(tree, { recursive: true, force: true }))

test('CONTRIBUTING.md shows a provider in one file and a module in one folder', () => {
  const paths = files.map(({ info }) => info)
  assert.equal(paths.filter((path) => /^src\/providers\/[\w-]+\.ts$/.test(path)).length, 1)
  assert.equal(paths.filter((path) => /^src\/modules\/[\w-]+\/index\.ts$/.test(path)).length, 1)
  const lists = generate(tree)
  assert.deepEqual(
    lists.flatMap(({ problems }) => problems),
    [],
  )
  assert.match(lists.find(({ path }) => path === 'src/providers/index.ts')?.text ?? '', /acme/)
  assert.match(lists.find(({ path }) => path === 'src/modules/index.ts')?.text ?? '', /prompt-limit/)
})

test('the examples of CONTRIBUTING.md are typed', () => {
  const { status, stdout, stderr } = run(join(root, 'node_modules/typescript/bin/tsc'), '--noEmit')
  assert.equal(status, 0, stdout + stderr)
})

test('the examples of CONTRIBUTING.md are formatted and linted', () => {
  cpSync(join(root, 'biome.json'), join(tree, 'biome.json'))
  const paths = files.map(({ info }) => info)
  const { status, stdout, stderr } = run(join(root, 'node_modules/@biomejs/biome/bin/biome'), 'ci', ...paths)
  assert.equal(status, 0, stdout + stderr)
})

test('the example provider and the example module load', async () => {
  const load = async (path: string) => (await import(pathToFileURL(join(tree, path)).href)) as { default: unknown }
  const provider = (await load('src/providers/acme.ts')).default as Provider
  assert.equal(provider.id, 'acme')
  assert.equal(provider.classify?.(429, { message: 'Your monthly allowance is used up' }), 'upstream_quota')
  assert.equal(provider.classify?.(429, { message: 'Slow down' }), undefined)
  const module = (await load('src/modules/prompt-limit/index.ts')).default as Module
  assert.deepEqual(parseStrict(module.settings, {}), { maxInputTokens: 100_000 })
})

test('the test that CONTRIBUTING.md shows passes', () => {
  const { status, stdout, stderr } = run('--test', 'src/modules/prompt-limit/prompt-limit.test.ts')
  assert.equal(status, 0, stdout + stderr)
  assert.match(stdout, /pass 1/)
})
