/** What the pages count out in words is what the code has: phases, layers, modules and their defaults, endpoints, files. */
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { test } from 'node:test'
import { LAYERS, PHASES } from '../../src/core/module.ts'
import { ENDPOINTS } from '../../src/http/endpoints.ts'
import { modules } from '../../src/modules/index.ts'
import { DATABASES } from '../../src/store/local/files.ts'
import { readPage, root } from './markdown.ts'

const architecture = readPage('docs/architecture.md')
const readme = readPage('README.md')

/** The first cells of the table rows between a heading and the next. */
function firstCells(page: string, heading: string): string[] {
  const chapter = page.split(`\n${heading}\n`)[1]?.split(/\n## /)[0] ?? ''
  return [...chapter.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1] as string)
}

test('the table of phases in docs/architecture.md has all of them, in their order', () => {
  assert.deepEqual(firstCells(architecture, '## Phases'), [...PHASES])
})

test('the picture of layers in docs/architecture.md has all of them, in their order', () => {
  const drawn = [...architecture.matchAll(/^(?:request)? *[│▼] {2}([a-z]+) /gm)].map((match) => match[1])
  assert.deepEqual(drawn, [...LAYERS])
})

test('README.md says which modules exist, and which of them are on', () => {
  const sentence = /On from the start: ([^.]+)\. Off until you switch them on: ([^.]+)\./.exec(
    readme.replaceAll('\n', ' '),
  )
  assert.ok(sentence, 'README.md has no such sentence any more')
  const names = (text = ''): string[] => [...text.matchAll(/`([\w-]+)`/g)].map((match) => match[1] as string).sort()
  const of = (mode: string): string[] =>
    modules
      .filter((m) => m.default === mode)
      .map((m) => m.id as string)
      .sort()
  assert.deepEqual(names(sentence[1]), of('enforce'))
  assert.deepEqual(names(sentence[2]), of('off'))
})

test('docs/architecture.md names every endpoint of the data plane', () => {
  for (const { path } of ENDPOINTS) assert.ok(architecture.includes(`${path}`), path)
})

test('README.md and docs/architecture.md name the files of the data directory', () => {
  // The audit file appears with the first module that keeps one.
  for (const name of DATABASES.filter((database) => database !== 'audit')) {
    assert.ok(readme.includes(`| \`${name}.db\` |`), `README.md: ${name}.db`)
    assert.ok(architecture.includes(`| \`${name}.db\` |`), `docs/architecture.md: ${name}.db`)
  }
})

test('every decision has its date, context, decision and non-goals, and stands in the list', () => {
  const list = readPage('docs/decisions/README.md')
  const pages = globSync('docs/decisions/2*.md', { cwd: root }).map((path) => path.replaceAll('\\', '/'))
  assert.ok(pages.length > 0)
  for (const path of pages) {
    const name = path.split('/').at(-1) as string
    const text = readPage(path)
    assert.match(text, new RegExp(`^# .+\\n\\n${name.slice(0, 10)} · \\w+`), path)
    for (const chapter of ['Context', 'Decision', 'Non-goals']) assert.ok(text.includes(`\n## ${chapter}\n`), path)
    assert.ok(list.includes(`(${name})`), `${name} is not in the list`)
  }
})
