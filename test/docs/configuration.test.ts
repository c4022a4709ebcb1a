/** docs/configuration.md is true: it names every flag, variable and field that exists, and its examples are accepted. */
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { test } from 'node:test'
import type { TObject, TSchema } from 'typebox'
import { parse } from 'yaml'
import { program } from '../../src/cli/index.ts'
import { TIMEOUTS } from '../../src/core/exchange.ts'
import { parseStrict } from '../../src/core/settings.ts'
import * as schemas from '../../src/http/admin/schemas.ts'
import { fencesOf, readPage, root } from './markdown.ts'

const page = readPage('docs/configuration.md')
const objects = schemas as unknown as Readonly<Record<string, TObject>>

test('every flag of serve is there, with its variable and default', async () => {
  const serve = (await program(['--help'])).commands.find((command) => command.name() === 'serve')
  assert.ok(serve && serve.options.length > 5)
  for (const { long, envVar, defaultValue } of serve.options) {
    const shown = long === '--data-dir' || defaultValue === undefined ? '' : `\`${defaultValue}\``
    assert.ok(page.includes(`| \`${long}\` | \`${envVar}\` | ${shown}`), `${long} ${envVar} ${shown}`)
  }
})

test('every variable of the gateway that the product reads is there, and no other', () => {
  const sources = globSync('src/**/*.ts', { cwd: root, exclude: ['**/*.test.ts'] })
    .map(readPage)
    .join('\n')
  const read = new Set([...sources.matchAll(/['.](STOCKYARD_[A-Z_]+)\b/g)].map((match) => match[1]))
  const said = new Set(page.match(/\bSTOCKYARD_[A-Z_]+\b/g))
  assert.deepEqual([...said].sort(), [...read].sort())
})

/** Field names of an object, of what its arrays hold and of the objects in it. */
function fieldsOf(schema: TSchema): string[] {
  const { properties, items } = schema as { properties?: Readonly<Record<string, TSchema>>; items?: TSchema }
  if (items) return fieldsOf(items)
  return Object.entries(properties ?? {}).flatMap(([name, field]) => [name, ...fieldsOf(field)])
}

for (const name of ['ModuleChange', 'Upstream', 'Route', 'Alias', 'Prices']) {
  test(`every field of ${name} is there`, () => {
    const missing = fieldsOf(objects[name] as TObject).filter((field) => !page.includes(`\`${field}\``))
    assert.deepEqual(missing, [])
  })
}

test('the defaults of the timeouts are right', () => {
  for (const [name, ms] of Object.entries(TIMEOUTS)) {
    assert.ok(page.includes(`| \`${name}\` | ${ms.toLocaleString('en-US')} |`), name)
  }
})

const examples = fencesOf(page).filter(({ language }) => language === 'json' || language === 'yaml')

test('there is an example of every object', () => {
  const shown = [...new Set(examples.map(({ info }) => info))].sort()
  assert.deepEqual(shown, ['Alias', 'File', 'ModuleChange', 'Prices', 'Route', 'Upstream'])
})

for (const { info, text, language } of examples) {
  test(`the example of ${info} is accepted`, () => {
    const value = language === 'json' ? JSON.parse(text) : parse(text)
    assert.ok(Object.keys(parseStrict(objects[info] as TObject, value)).length > 0)
  })
}

test('every header of an answer is there', () => {
  const sources = readPage('src/http/data-plane.ts')
  for (const [name] of sources.matchAll(/x-stockyard-[a-z-]+/g)) assert.ok(page.includes(`\`${name}\``), name)
})
