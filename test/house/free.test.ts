/** Everything is there for everybody: no part of the product asks for a licence, and all of it is in the one program. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { runGateway } from '../running/index.ts'

const root = resolve(import.meta.dirname, '../..')

test('A107: keys, limits, budgets, audit, redaction and guardrails are switched on without a licence, and the tree checks for none', async (t) => {
  const gateway = await runGateway(t)
  for (const id of ['keys', 'rate-limits', 'budgets', 'audit', 'pii', 'guardrails', 'litellm-api']) {
    await gateway.admin('PUT', `modules/${id}`, { mode: 'enforce' })
    assert.equal((await gateway.admin('GET', `modules/${id}`)).mode, 'enforce')
  }
  await gateway.admin('GET', 'sign-in')
  const files = globSync(['src/**/*.ts', 'scripts/**/*.ts'], { cwd: root }).filter((path) => !path.endsWith('.test.ts'))
  assert.ok(files.length > 300)
  const asking = files.filter((path) =>
    /licen[cs]e[ _-]?(?:key|check|token|server)|entitlement/i.test(readFileSync(resolve(root, path), 'utf8')),
  )
  assert.deepEqual(asking, [])
  assert.match(readFileSync(resolve(root, 'LICENSE'), 'utf8'), /Apache License/)
})
