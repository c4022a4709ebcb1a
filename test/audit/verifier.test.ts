/** The auditor's verifier, which shares no code with the program: small, without dependencies, right by the vectors. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import * as auditor from '../../scripts/audit-verifier.mjs'
import { draft, NOW, openLog } from './log.ts'

const FIXTURES = join(process.env.STOCKYARD_FIXTURES ?? '../shared', 'fixtures')
const missing = existsSync(FIXTURES) ? false : `no vectors in ${FIXTURES} (set STOCKYARD_FIXTURES)`
const FILE = new URL('../../scripts/audit-verifier.mjs', import.meta.url).pathname

const bytes = (text: string | null): Buffer => Buffer.from(text ?? '', 'base64')
const list = (proof: string[] | null): Buffer[] => (proof ?? []).map(bytes)

test('the auditor’s verifier has at most 300 lines and imports nothing but Node', () => {
  const text = readFileSync(FILE, 'utf8')
  assert.ok(text.split('\n').length <= 301, String(text.split('\n').length))
  for (const [, from] of text.matchAll(/from '([^']+)'/g)) assert.match(from as string, /^node:/)
})

test('T38, T39: the auditor’s verifier passes the vectors', { skip: missing }, () => {
  for (const file of globSync(join(FIXTURES, 'jcs/input/*.json'))) {
    const made = auditor.canonical(JSON.parse(readFileSync(file, 'utf8')))
    assert.equal(made, readFileSync(join(FIXTURES, 'jcs/output', basename(file)), 'utf8'))
  }
  let looked = 0
  for (const file of globSync(join(FIXTURES, 'merkle/{inclusion,consistency}/**/*.json'))) {
    const v = JSON.parse(readFileSync(file, 'utf8'))
    const holds =
      v.leafHash === undefined
        ? auditor.verifyConsistency(v.size1, v.size2, bytes(v.root1), bytes(v.root2), list(v.proof))
        : auditor.verifyInclusion(v.leafIdx, v.treeSize, bytes(v.leafHash), list(v.proof), bytes(v.root))
    assert.equal(holds, !v.wantErr, file)
    looked++
  }
  assert.ok(looked > 170)
})

test('T37: the auditor’s verifier as a program: a good export, one with U+2028 in it, one that was changed', async (t) => {
  const log = await openLog(t)
  log.add([draft(0, { facts: { model: 'a\u2028b\u2029c\r\n\u001b[31mred"}{' } }), draft(1), draft(2)])
  const { note } = log.call('checkpoint', { now: NOW })
  writeFileSync(`${log.dataDir}/kept.txt`, note)
  const good = await log.lines()
  const trust = ['--key', log.status.firstKey, '--checkpoint', `${log.dataDir}/kept.txt`]
  const run = (name: string, lines: readonly string[], end = '\n') => {
    writeFileSync(`${log.dataDir}/${name}`, lines.map((line) => line + end).join(''))
    return spawnSync(process.execPath, [FILE, `${log.dataDir}/${name}`, ...trust], { encoding: 'utf8' })
  }
  const right = run('good.jsonl', good)
  assert.equal(right.status, 0, right.stderr)
  assert.match(right.stdout, /^3 records, no problems/)
  assert.equal(run('good.csv', await log.lines({ csv: true }), '\r\n').status, 0)
  const wrong = run('bad.jsonl', [
    ...good.slice(0, 2),
    (good[2] as string).replace('"cost":"1000"', '"cost":"9"'),
    ...good.slice(3),
  ])
  assert.equal(wrong.status, 1)
  assert.match(wrong.stderr, /WRONG {2}record 1 at leaf 1 is not what was written/)
})
