/** The generated pages are what their generators write, and the catalogue of errors holds nothing that is never used. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { Type } from 'typebox'
import { errorsPage } from '../../scripts/errors-doc.ts'
import { modulesPage } from '../../scripts/modules-doc.ts'
import { ERRORS } from '../../src/core/errors.ts'
import { defineModule, type Module } from '../../src/core/module.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(resolve(root, path), 'utf8')

test('docs/errors.md is what scripts/errors-doc.ts writes', () => {
  assert.equal(read('docs/errors.md'), errorsPage())
})

test('docs/modules.md is what scripts/modules-doc.ts writes', () => {
  assert.equal(read('docs/modules.md'), modulesPage())
})

test('every error code stands in the docs, with its status', () => {
  const page = read('docs/errors.md')
  for (const [code, { status }] of Object.entries(ERRORS)) {
    assert.ok(page.includes(`| \`${code}\` | ${status} |`), `docs/errors.md says nothing of ${code}`)
  }
})

test('every error code of the catalogue is used somewhere in the product', () => {
  const sources = globSync('src/**/*.ts', { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !path.endsWith('.test.ts') && path !== 'src/core/errors.ts')
    .map(read)
    .join('\n')
  // An upstream's error is chosen by the code's name as text, the others by `failure('…')`; both are quoted.
  const unused = Object.keys(ERRORS).filter((code) => !sources.includes(`'${code}'`))
  assert.deepEqual(unused, [])
})

test('the page of a module names its settings with limits, its routes and its refusals', () => {
  const sample = defineModule({
    id: 'sample',
    summary: 'Shows what the page says.',
    layer: 'limits',
    requires: ['logs'],
    default: 'off',
    fault: 'closed',
    settings: Type.Object({
      most: Type.Integer({ default: 3, minimum: 1, maximum: 9, description: 'How many.' }),
      way: Type.Union([Type.Literal('short'), Type.Literal('long')], { default: 'long' }),
    }),
    errors: { sample_refused: { status: 409, message: 'No: {problem}', blame: 'client', retry: 'never' } },
    admin: [
      {
        method: 'GET',
        path: 'sample',
        summary: 'What was seen.',
        answer: Type.Object({}),
        example: {},
        handle: () => ({}),
      },
    ],
    start: () => ({}),
  })
  const page = modulesPage([sample as unknown as Module])
  assert.match(page, /\| `most` \| integer from 1 to 9 \| `3` \| How many\. \|/)
  assert.match(page, /\| `way` \| `"short"` or `"long"` \| `"long"` \|/)
  assert.match(page, /\| `sample_refused` \| 409 \| No: \{problem\} \|/)
  assert.match(page, /`GET \/api\/sample`: What was seen\./)
  assert.match(page, /needs `logs`/)
})
