/**
 * What an operator does to a gateway: starts it, changes its master key, and starts it on the files of a newer version.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { scratch, spawnGateway } from '../chaos/spawned.ts'
import { runGateway } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'

for (const from of ['the key file', 'STOCKYARD_MASTER_KEY'] as const) {
  test(`A82: the master key is changed while running (from ${from}), and credentials work before and after a restart`, async (t) => {
    const given: Record<string, string> = from === 'the key file' ? {} : { STOCKYARD_MASTER_KEY: 'a'.repeat(64) }
    const gateway = await runGateway(t, { environment: given })
    const next = 'b'.repeat(64)
    const sent = () => gateway.upstream.ledger.rows.at(-1)?.headers.authorization
    const { sealed } = await gateway.admin('POST', 'rotate-master-key', { masterKey: next })
    assert.ok(sealed >= 2, 'the credential and the pepper')
    assert.equal((await gateway.chat(MODEL, 'hello')).status, 200)
    assert.equal(sent(), 'Bearer sk-test-secret-openai')
    if (given.STOCKYARD_MASTER_KEY) given.STOCKYARD_MASTER_KEY = next
    else
      assert.equal(
        Buffer.from(readFileSync(join(gateway.dataDir, 'master.key'), 'utf8'), 'base64').toString('hex'),
        next,
      )
    await gateway.restart()
    assert.equal((await gateway.chat(MODEL, 'hello')).status, 200)
    assert.equal(sent(), 'Bearer sk-test-secret-openai')
    assert.ok((await gateway.admin('GET', 'upstreams')).upstreams.length > 0, 'the admin key is known as before')
  })
}

test('A82: a master key that is too short is refused, and the old one holds', async (t) => {
  const gateway = await runGateway(t)
  const before = readFileSync(join(gateway.dataDir, 'master.key'), 'utf8')
  await assert.rejects(gateway.admin('POST', 'rotate-master-key', { masterKey: 'short' }), / 400 /)
  assert.equal(readFileSync(join(gateway.dataDir, 'master.key'), 'utf8'), before)
  await gateway.restart()
  assert.equal((await gateway.chat(MODEL, 'hello')).status, 200)
})

test('A82: a dry run counts, and what is asked for as a dry run changes nothing', async (t) => {
  const gateway = await runGateway(t)
  await gateway.chat('openai/unpriced-model', 'hello')
  await gateway.admin('PUT', 'prices/unpriced-model', { prices: [{ rates: { input: '1', output: '1' } }] })
  const directory = join(gateway.dataDir, 'a-backup')
  const key = readFileSync(join(gateway.dataDir, 'master.key'), 'utf8')
  for (const [path, body] of [
    ['rotate-master-key', { masterKey: 'b'.repeat(64) }],
    ['backup', { directory }],
    ['local-trust/confirm', {}],
    ['usage/reprice', { upstream: 'openai', model: 'unpriced-model' }],
  ] as const) {
    const answer = await gateway.admin('POST', `${path}?dry=1`, body)
    assert.equal(answer.dry, true, path)
    if (path === 'rotate-master-key') assert.ok(answer.sealed >= 2)
  }
  assert.equal(readFileSync(join(gateway.dataDir, 'master.key'), 'utf8'), key)
  assert.ok(!existsSync(directory))
  assert.equal((await gateway.usage('model'))[0]?.unpriced, 1)
})

for (const file of ['stockyard.db', 'ledger.db']) {
  test(`A94: a ${file} of a newer version refuses the start, says so, and is left as it is`, async (t) => {
    const gateway = await runGateway(t)
    await gateway.chat(MODEL, 'hello')
    await gateway.served.close(100)
    const path = join(gateway.dataDir, file)
    const db = new DatabaseSync(path)
    db.exec('UPDATE migrations SET number = number + 100')
    db.close()
    const before = readFileSync(path)
    await assert.rejects(gateway.restart(), /newer version/)
    assert.ok(readFileSync(path).equals(before))
  })
}

test('A96, A106: a new directory, no configuration, no database, no key: the first answer comes soon', async (t) => {
  const began = performance.now()
  const gateway = await spawnGateway(t, { dataDir: join(scratch(t), 'data') })
  const answer = await gateway.chat('mock/echo', 'hello')
  const firstAnswerMs = performance.now() - began
  assert.equal(answer.status, 200, answer.text)
  t.diagnostic(`banner after ${gateway.startMs.toFixed(0)} ms, first answer after ${firstAnswerMs.toFixed(0)} ms`)
  assert.ok(firstAnswerMs < 15_000)
})
