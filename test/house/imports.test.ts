/**
 * Who may know whom, and what nobody may do: the plan of the house as statements about every file in src. Each statement
 * is first shown to catch what it is there for.
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { generate, importName, stale } from '../../scripts/generate.ts'
import * as rules from './rules.ts'
import { readSource, readSources, type Source } from './source.ts'

const sources = readSources()

type Sample = readonly [path: string, text: string]

/** The statement holds for the tree, is silent on `good` and speaks on each of `bad`. */
function state(
  name: string,
  rule: rules.Rule,
  samples: { bad: readonly Sample[]; good: readonly Sample[] },
  tree: readonly Source[] = sources,
): void {
  test(name, () => {
    const context = samples.good.map(([path, text]) => readSource(path, text))
    assert.deepEqual(rule(context), [], 'complains about what is allowed')
    for (const [path, text] of samples.bad)
      assert.notDeepEqual(rule([...context, readSource(path, text)]), [], `does not catch ${path}: ${text}`)
    assert.ok(sources.length > 0, 'there is nothing to look at')
    const complaints = rule(tree)
    assert.equal(complaints.length, 0, `\n${complaints.join('\n')}`)
  })
}

const imports = (from: string) => `import { x } from '${from}'\n`
const tableRow = (room: string, files: readonly string[], may: readonly string[], never: readonly string[]) =>
  state(
    `${room} imports what it may and no more`,
    rules.importTable,
    {
      good: files.flatMap((file) => may.map((from) => [file, imports(from)] as const)),
      bad: files.flatMap((file) => never.map((from) => [file, imports(from)] as const)),
    },
    sources.filter((source) => files.some((file) => rules.roomOf(source.path) === rules.roomOf(file))),
  )

tableRow(
  'core',
  ['src/core/a.ts'],
  ['./b.ts', 'typebox', 'node:crypto'],
  [
    '../wire/sse.ts',
    '../catalog/prices.ts',
    '../dialects/index.ts',
    '../modules/index.ts',
    '../store/local/index.ts',
    '../http/server.ts',
    '../main.ts',
    '../cli/index.ts',
    '../../test/upstream/index.ts',
  ],
)
tableRow('wire', ['src/wire/a.ts'], ['./b.ts', '../core/a.ts'], ['../catalog/a.ts', '../http/a.ts', '../store/a.ts'])
tableRow('catalog', ['src/catalog/a.ts'], ['./b.ts', '../core/a.ts'], ['../wire/a.ts', '../providers/index.ts'])
tableRow(
  'a dialect',
  ['src/dialects/one/a.ts'],
  // One vendor's dialects share through the index of one of them.
  ['./b.ts', '../../core/a.ts', '../../wire/a.ts', '../two/index.ts'],
  [
    '../two/b.ts',
    '../two.ts',
    '../index.ts',
    '../../providers/a.ts',
    '../../modules/cache/index.ts',
    '../../store/local/a.ts',
  ],
)
tableRow(
  'a provider',
  ['src/providers/one.ts'],
  ['../core/a.ts', '../wire/a.ts'],
  ['./two.ts', './index.ts', '../dialects/one/index.ts', '../modules/cache/index.ts'],
)
tableRow(
  'a module',
  ['src/modules/one/index.ts'],
  ['./settings.ts', '../../core/a.ts'],
  [
    '../two/index.ts',
    '../index.ts',
    '../../wire/a.ts',
    '../../providers/a.ts',
    '../../dialects/index.ts',
    '../../http/a.ts',
    '../../store/a.ts',
    '../../catalog/a.ts',
  ],
)
tableRow(
  'store',
  ['src/store/local/a.ts'],
  ['./b.ts', '../ports.ts', '../../core/a.ts'],
  ['../../wire/a.ts', '../../http/a.ts', '../../modules/index.ts'],
)
tableRow(
  'http',
  ['src/http/a.ts'],
  ['./b.ts', '../core/a.ts', '../wire/a.ts', '../modules/index.ts', '../providers/index.ts', '../dialects/index.ts'],
  [
    '../modules/cache/index.ts',
    '../providers/one.ts',
    '../dialects/one/index.ts',
    '../store/local/a.ts',
    '../cli/a.ts',
  ],
)
tableRow('a generated list', ['src/modules/index.ts'], ['./cache/index.ts'], ['../core/a.ts', '../providers/one.ts'])
tableRow('main', ['src/main.ts', 'src/cli/a.ts'], ['./core/a.ts', './store/local/a.ts'], [])

test('every folder of src is a room of the plan', () => {
  assert.notDeepEqual(rules.importTable([readSource('src/plumbing/a.ts', '')]), [])
  assert.deepEqual(rules.importTable([readSource('src/cli/a.ts', ''), readSource('src/wire/a.ts', '')]), [])
  const strange = rules.importTable(sources).filter((complaint) => complaint.includes('is not a room'))
  assert.equal(strange.length, 0, `\n${strange.join('\n')}`)
})

test('imports are found however they are written', () => {
  const forms = [
    `import x from '../wire/a.ts'`,
    `import type { X } from "../wire/a.ts"`,
    `import x, {\n  y, // from here\n  type Z,\n} from '../wire/a.ts'`,
    `import * as x from '../wire/a.ts'`,
    `import '../wire/a.ts'`,
    `export * from '../wire/a.ts'`,
    `export { x as default } from '../wire/a.ts'`,
    `const x = await import('../wire/a.ts')`,
    `const x = /['"\`]/.test(y) ? \`\${import('../wire/a.ts')}\` : 1`,
    `type X = import('../wire/a.ts').X`,
  ]
  for (const form of forms) assert.equal(rules.importTable([readSource('src/core/a.ts', form)]).length, 1, form)
  const noForms = [
    `// import x from '../wire/a.ts'`,
    `/** import x from '../wire/a.ts' */`,
    `const x = "import x from '../wire/a.ts'"`,
    `const x = \`import x from '../wire/a.ts'\``,
    `const x = 6 / 2 // import x from '../wire/a.ts'`,
  ]
  for (const form of noForms) assert.equal(rules.importTable([readSource('src/core/a.ts', form)]).length, 0, form)
})

state('an import of ours names the file with its extension', rules.importsWithExtension, {
  good: [['src/core/a.ts', imports('./b.ts')]],
  bad: [
    ['src/core/a.ts', imports('./b')],
    ['src/core/a.ts', imports('./b.js')],
  ],
})

state('a module touches nothing but its host', rules.modulesTouchNothing, {
  good: [
    ['src/modules/one/index.ts', `await host.egress.fetch('x'); x = { process: 2 }`],
    [
      'src/modules/one/index.ts',
      `// process.env, fetch(x)\nconst text = 'fetch(x)'; import { createHash } from 'node:crypto'`,
    ],
    ['src/modules/one/index.test.ts', `import http from 'node:http'; process.exit(fetch('x'))`],
    ['src/http/a.ts', `process.exit()`],
  ],
  bad: [
    `await fetch('x')`,
    `http.request(x)`,
    `import http from 'node:http'`,
    `import { connect } from 'net'`,
    `import tls from 'node:tls'`,
    `import { setTimeout } from 'node:timers'; import { Pool } from 'undici'`,
    `import { readFileSync } from 'node:fs'`,
    `const key = process.env.KEY`,
    `const { env } = process`,
    `import process from 'node:process'`,
    `globalThis['fetch']('x')`,
    `new WebSocket('ws://x')`,
  ].map((text) => ['src/modules/one/index.ts', text] as const),
})

state('no web classes and no fetch where bytes pass', rules.noWebClasses, {
  good: [
    ['src/core/a.ts', `import type { Request } from './request.ts'\nexport function f(r: Request): void {}`],
    ['src/core/b.ts', `export interface Response { x: 1 }\nlet y: Response`],
    ['src/wire/a.ts', `// a Response\nconst x = 'Request'; const { Request: y } = z`],
    ['src/http/admin/a.ts', `new Response('x')`],
  ],
  bad: [
    ['src/core/a.ts', `new Request('x')`],
    ['src/wire/a.ts', `if (x instanceof Response) f()`],
    ['src/dialects/one/a.ts', `new ReadableStream({})`],
    ['src/http/data-plane.ts', `x.pipeThrough(new TransformStream())`],
    ['src/http/data-plane/a.ts', `const x = await fetch('y')`],
  ],
})

state("a provider's name appears only under src/providers and in data", rules.providersOnlyAtHome, {
  good: [
    ['src/providers/groq.ts', `export default { id: 'groq' }`],
    ['src/providers/custom.ts', `export default { id: 'custom' }`],
    ['src/catalog/a.ts', `const maker = 'groq'`],
    ['src/http/a.ts', `const route = { path: 'x', example: { list: [{ id: 'groq' }] }, handle: f }`],
    ['src/core/a.ts', `// groq\nconst x = 'groq-like'; const y = 'custom'`],
    ['src/core/a.test.ts', `const x = 'groq'`],
  ],
  bad: [
    ['src/core/a.ts', `if (provider === 'groq') f()`],
    ['src/http/a.ts', 'const x = `groq`'],
    ['src/http/b.ts', `const route = { example: { id: 'x' }, provider: 'groq' }`],
    ['src/cli/a.ts', `const x: "groq" = y`],
  ],
})

state('names say what is in there', rules.namesSaySomething, {
  good: [
    ['src/core/money.ts', ''],
    ['src/http/admin/index.ts', ''],
  ],
  bad: [
    'core/utils.ts',
    'helpers/a.ts',
    'core/string-helper.ts',
    'common/a.ts',
    'core/keyManager.ts',
    'http/service.ts',
    'core/misc.ts',
  ].map((path) => [`src/${path}`, ''] as const),
})

state('A5: no SQL is put together from text', rules.noBuiltSql, {
  good: [
    ['src/store/a.ts', 'db.prepare(`SELECT a FROM b WHERE c = ?`)'],
    ['src/store/a.ts', `db.prepare('SELECT a ' + 'FROM b ' + \`WHERE c = ?\`)`],
    ['src/store/a.ts', `db.prepare('SELECT a FROM b' + ' WHERE c = ?')`],
    ['src/store/a.ts', 'await sql`SELECT a FROM b WHERE c = ${c}`.execute(db)'],
    ['src/store/a.ts', 'await sql<{ a: number }>`SELECT a FROM b WHERE c = ${c}`.execute(db)'],
    ['src/store/a.ts', 'log(`DELETE ${path}`); log(`update ${name}, please`)'],
    ['src/store/a.ts', '// `SELECT a FROM ${b}`'],
    ['src/store/a.test.ts', 'db.prepare(`SELECT a FROM ${b}`)'],
  ],
  bad: [
    'db.prepare(`SELECT a FROM b WHERE c = ${c}`)',
    'db.prepare(`\n  select a\n  from ${table}`)',
    'db.exec(`INSERT INTO a (${columns}) VALUES (1)`)',
    'db.exec(`UPDATE a SET b = ${b}`)',
    'db.exec(`delete from a where b = ${b}`)',
    'db.exec(`DROP TABLE IF EXISTS ${name}`)',
    'db.exec(`with x as (select ${b} from y) select 1`)',
    `db.prepare('SELECT a FROM b WHERE c = ' + c)`,
    `db.prepare('SELECT a FROM b' + ' WHERE c = ' + c)`,
    `db.prepare('DELETE FROM a WHERE b = '.concat(b))`,
    'sql`SELECT a FROM ${sql.raw(name)}`',
  ].map((text) => ['src/store/a.ts', text] as const),
})

state('A6, T76: nothing starts a program or runs text as code', rules.nothingIsExecuted, {
  good: [
    ['src/core/a.ts', `retrieval('x'); const f: Function; db.exec('x'); pattern.exec(x); // eval(x)`],
    ['src/core/a.test.ts', `import { spawn } from 'node:child_process'`],
    ['src/cli/a.ts', `await import('./b.ts')`],
  ],
  bad: [
    `import { spawn } from 'node:child_process'`,
    `import cp from 'child_process'`,
    `const vm = await import('node:vm')`,
    `eval(text)`,
    `new Function('return 1')`,
    `Function('return 1')()`,
    `new Worker(text, { eval: true })`,
    `await import(name)`,
    'await import(`./${name}.ts`)',
    `await import('./' + name)`,
    `process.dlopen(x, y)`,
    `db.loadExtension(path)`,
  ].map((text) => ['src/cli/a.ts', text] as const),
})

test('the generated lists are fresh', () => {
  const complaints = stale()
  assert.equal(complaints.length, 0, `\n${complaints.join('\n')}`)
})

test('a list follows its folder, and says what cannot be listed', (context) => {
  const base = mkdtempSync(join(tmpdir(), 'stockyard-lists-'))
  context.after(() => rmSync(base, { recursive: true }))
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(base, path)), { recursive: true })
    writeFileSync(join(base, path), text)
  }
  assert.deepEqual(generate(base), [])
  write('src/modules/rate-limits/index.ts', 'export default {}')
  write('src/modules/aliases/index.ts', 'export default {}')
  write('src/providers/302ai.ts', 'export default {}')
  write('src/providers/302ai.test.ts', '')
  assert.deepEqual(stale(base), [
    'src/modules/index.ts is out of date: run `npm run generate`',
    'src/providers/index.ts is out of date: run `npm run generate`',
  ])
  for (const file of generate(base)) write(file.path, file.text)
  assert.deepEqual(stale(base), [])
  assert.match(generate(base)[0]?.text ?? '', /modules = \[aliases, rateLimits\] as const/)
  write('src/providers/new.ts', 'export const x = 1')
  write('src/modules/empty/readme.md', '')
  assert.deepEqual(stale(base), ['src/modules/empty has no index.ts', 'src/providers/new.ts has no default export'])
  assert.deepEqual(['llama-cpp', '302ai', 'new', 'x'].map(importName), ['llamaCpp', '_302ai', '_new', 'x'])
})
