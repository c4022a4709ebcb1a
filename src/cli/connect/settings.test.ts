import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Settings } from './clients.ts'
import { changed, difference } from './settings.ts'

const settings = (format: Settings['format'], set: Settings['set'], item?: Settings['item']): Settings => ({
  path: 'x',
  format,
  set,
  ...(item ? { item } : {}),
})

test('JSON: only what is meant changes, in place and with the indent of the file', () => {
  const before =
    '{\n    "theme": "dark",\n    "env": {\n        "A": "1",\n        "URL": "old"\n    },\n    "size": 1\n}\n'
  const after = changed(before, settings('json', [[['env', 'URL'], 'new']]))
  assert.equal(after, before.replace('old', 'new'))
  assert.deepEqual(JSON.parse(changed('', settings('json', [[['a', 'b'], 'c']]))), { a: { b: 'c' } })
  assert.throws(() => changed('{ // mine\n}', settings('json', [])))
  assert.throws(() => changed('[]', settings('json', [])), /no JSON object/)
  const proto = changed('{"__proto__": {"x": 1}}', settings('json', [[['a'], 'b']]))
  assert.match(proto, /"__proto__"/)
})

test('TOML: keys at the top stay before the tables, tables are found or added, the rest stays', () => {
  const set = settings('toml', [
    [['model'], 'm'],
    [['model_providers.stockyard', 'base_url'], 'u'],
  ])
  assert.equal(changed('', set), 'model = "m"\n\n[model_providers.stockyard]\nbase_url = "u"\n')
  const before =
    '# mine\nmodel = "old" # why\n\n[tui]\nmodel = "not this"\n\n[model_providers.stockyard]\nbase_url = "old"\n\n[z]\n'
  const after = before.replace('model = "old" # why', 'model = "m"').replace('base_url = "old"', 'base_url = "u"')
  assert.equal(changed(before, set), after)
  assert.equal(changed(after, set), after)
  assert.equal(changed('[a]\nb = 1\n', settings('toml', [[['model'], 'm']])), 'model = "m"\n\n[a]\nb = 1\n')
})

test('YAML: comments stay, and of a list the one of the name is set', () => {
  const item = { list: 'models', name: 'mine', text: 'name: mine\nmodel: new' }
  const before =
    '# top\nname: x\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: other # keep\n    model: a\n  - name: mine\n    model: old\n'
  const after = changed(before, settings('yaml', [], item))
  assert.equal(after, before.replace('old', 'new'))
  assert.match(changed('', settings('yaml', [], item)), /schema: v1\nmodels:\n {2}- name: mine\n {4}model: new/)
  assert.throws(() => changed('a: [', settings('yaml', [], item)))
})

test('variables: a known one is replaced, another added', () => {
  const set = settings('env', [
    [['URL'], 'u'],
    [['KEY'], 'k'],
  ])
  assert.equal(changed('# x\nexport URL=old\nURLS=2\n', set), '# x\nURL=u\nURLS=2\nKEY=k\n')
})

test('a difference names what goes and what comes', () => {
  assert.deepEqual(difference('a\nb\nc\n', 'a\nx\nc\nd\n'), ['  a', '+ x', '- b', '  c', '+ d'])
  assert.deepEqual(difference('', 'a\n'), ['+ a'])
})
