/**
 * What somebody with write access to the files can do to the trail, and that both verifiers, ours and the one an auditor
 * reads, find it out and name the record.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import * as auditor from '../../scripts/audit-verifier.mjs'
import { canonical } from '../../src/modules/audit/canonical.ts'
import { Frontier, leafHash } from '../../src/modules/audit/merkle.ts'
import { checkpointText, signerOf, signNote } from '../../src/modules/audit/note.ts'
import { ExportVerifier, type Verdict, verifyExport } from '../../src/modules/audit/verify.ts'
import { DAY_MS, draft, NOW, openLog, random } from './log.ts'

interface Trusted {
  readonly keys?: readonly string[]
  readonly checkpoints?: readonly string[]
}

/** What both verifiers say; they must agree on whether it is right. */
async function problems(lines: readonly string[], { keys = [], checkpoints = [] }: Trusted = {}): Promise<string[]> {
  const ours: Verdict = await verifyExport(lines, { keys, checkpoints })
  const theirs = await auditor.verifyExport(lines, { keys: [...keys], checkpoints: [...checkpoints] })
  assert.equal(ours.problems.length > 0, theirs.problems.length > 0, `${ours.problems} | ${theirs.problems}`)
  return [...ours.problems, ...theirs.problems]
}

const attack = (dataDir: string, statements: string): void => {
  const db = new DatabaseSync(`${dataDir}/audit.db`)
  db.exec('DROP TRIGGER IF EXISTS records_keep; DROP TRIGGER IF EXISTS records_stay;')
  db.exec(statements)
  db.close()
}

test('an export verifies against the first key, against a kept checkpoint, whole, filtered and as CSV', async (t) => {
  const log = await openLog(t)
  log.add(Array.from({ length: 700 }, (_, i) => draft(i)))
  const kept = log.call('checkpoint', { now: NOW }).note
  log.add(Array.from({ length: 700 }, (_, i) => draft(700 + i)))
  const trusted = { keys: [log.status.firstKey], checkpoints: [kept] }
  assert.deepEqual(await problems(await log.lines(), trusted), [])
  const some = await log.lines({ filters: { exchange: 'req_650' }, continues: 700 })
  assert.equal(some.length, 2)
  assert.deepEqual(await problems(some, trusted), [])
  assert.notDeepEqual(await problems(await log.lines({ filters: { exchange: 'req_650' } }), trusted), [])
  const csv = (await log.lines({ csv: true })).map((line) => `${line}\r\n`)
  const lines: string[] = []
  for await (const line of auditor.linesOfCsv(csv)) lines.push(line)
  assert.equal(lines.length, 1_401)
  assert.deepEqual(await problems(lines, trusted), [])
  const other = await openLog(t)
  other.add([draft(0)])
  assert.notDeepEqual(await problems(await log.lines(), { keys: [other.status.firstKey] }), [])
})

test('T29: every flipped byte of 2,000 records changes its leaf hash, and 2,000 random flips are found and named', async (t) => {
  const log = await openLog(t)
  log.add(Array.from({ length: 2_000 }, (_, i) => draft(i)))
  const lines = await log.lines()
  const records = lines.slice(1).map((line) => Buffer.from(/"record":(.*)\}$/s.exec(line)?.[1] ?? ''))
  assert.equal(records.length, 2_000)
  let flips = 0
  for (const record of records) {
    const before = leafHash(record)
    for (let i = 0; i < record.length; i++) {
      record[i] = (record[i] as number) ^ (1 << (flips % 8))
      assert.ok(!leafHash(record).equals(before))
      record[i] = (record[i] as number) ^ (1 << (flips % 8))
      flips++
    }
    assert.ok(leafHash(record).equals(before))
  }
  assert.ok(flips > 200_000)
  const next = random(29)
  for (let i = 0; i < 2_000; i++) {
    // The lines around it do not matter to whether this one is found out, so only they are verified with it.
    const at = 1 + next(2_000)
    const record = records[at - 1] as Buffer
    const flipped = Buffer.from(record)
    const place = next(flipped.length)
    flipped[place] = (flipped[place] as number) ^ (1 << next(8))
    const changed = (lines[at] as string).replace(record.toString(), () => flipped.toString('utf8'))
    const seq = /"seq":"(\d+)"/.exec(record.toString())?.[1]
    const found = await problems([lines[0] as string, changed])
    const named = found.some((p) => new RegExp(`(record ${seq}|leaf ${at - 1})\\b`).test(p))
    assert.ok(named, `${changed}: ${found}`)
  }
})

test('T29: a record, a hash or a tile that is edited in the database is named', async (t) => {
  const log = await openLog(t)
  log.add(Array.from({ length: 600 }, (_, i) => draft(i)))
  const trusted = { keys: [log.status.firstKey], checkpoints: [log.call('checkpoint', { now: NOW }).note] }
  attack(log.dataDir, `UPDATE records SET record = replace(record, '"cost":"301000"', '"cost":"1000"') WHERE seq = 301`)
  assert.match(
    (await problems(await log.lines(), trusted)).join('\n'),
    /record 301 at leaf 301 is not what was written/,
  )
  attack(log.dataDir, `UPDATE records SET record = replace(record, '"cost":"1000"', '"cost":"301000"') WHERE seq = 301`)
  assert.deepEqual(await problems(await log.lines(), trusted), [])
  log.reopen(() =>
    attack(
      log.dataDir,
      'UPDATE tiles SET hashes = CAST(substr(hashes, 1, 8000) || zeroblob(192) AS BLOB) WHERE level = 0 AND number = 1',
    ),
  )
  assert.match(
    (await problems(await log.lines(), trusted)).join('\n'),
    /record 511 at leaf 511 is not what was written/,
  )
})

test('T30: every record of 500 deleted, inserted or swapped is noticed', async (t) => {
  const log = await openLog(t)
  log.add(Array.from({ length: 500 }, (_, i) => draft(i)))
  const lines = await log.lines()
  const [frame, ...records] = lines as [string, ...string[]]
  const trusted = { keys: [log.status.firstKey] }
  const renumbered = (list: readonly string[]): string[] =>
    list.map((line, i) => line.replace(/"leaf":\d+/, `"leaf":${i}`))
  for (let i = 0; i < 500; i++) {
    const without = records.filter((_, at) => at !== i)
    const doubled = [...records.slice(0, i), records[i] as string, ...records.slice(i)]
    const swapped = [...records]
    const other = (i + 1) % 500
    ;[swapped[i], swapped[other]] = [swapped[other] as string, swapped[i] as string]
    for (const list of [without, doubled, swapped]) {
      if (i % 10 === 0) assert.notDeepEqual(await problems([frame, ...list], trusted), [], `as it is: ${i}`)
      const cunning = await auditor.verifyExport([frame, ...renumbered(list)], trusted)
      assert.notDeepEqual(cunning.problems, [], `with new numbers: ${i}`)
    }
  }
})

test('T31: each tail of 1 to 1,000 records cut off, with all that belongs to it, is refused at the start by any anchor', async (t) => {
  const log = await openLog(t)
  log.add(Array.from({ length: 1_200 }, (_, i) => draft(i)))
  const kept = [{ note: log.call('checkpoint', { now: NOW }).note, where: 'an anchor' }]
  attack(log.dataDir, '')
  // The attacker also makes the key file forget what it saw.
  copyKey(log.dataDir, log.dataDir)
  const db = new DatabaseSync(`${log.dataDir}/audit.db`)
  t.after(() => db.close())
  db.exec('PRAGMA synchronous = OFF')
  for (let k = 1; k <= 1_000; k++) {
    const size = 1_200 - k
    db.exec(
      `BEGIN; DELETE FROM records WHERE leaf >= ${size}; DELETE FROM checkpoints WHERE size > ${size};
       UPDATE trees SET size = ${size}; DELETE FROM tiles WHERE level = 0 AND number > ${size >> 8}; COMMIT`,
    )
    log.again()
    const halted = log.call('compare', { kept, now: NOW })
    assert.equal(halted, `an anchor: the log has ${size} records and had 1200: its end was cut off`)
    assert.throws(() => log.add([draft(1)]), /not extended/)
    assert.equal(log.call('step', { now: NOW, force: true }).halted, halted)
  }
  assert.equal(db.prepare('SELECT count(*) AS n FROM records').get()?.n, 200)
})

test('T31: each tail of 1 to 1,000 records cut off an export is noticed, also under an older checkpoint that is genuine', async (t) => {
  const log = await openLog(t)
  log.add(Array.from({ length: 1_200 }, (_, i) => draft(i)))
  const { note } = log.call('checkpoint', { now: NOW })
  const [frame, ...records] = (await log.lines()) as [string, ...string[]]
  const keys = [log.status.firstKey]
  // Shortened under its own frame: what the verdict would be if the file ended after each record.
  const verifier = new ExportVerifier(frame, { keys, checkpoints: [] })
  for (const [i, line] of records.entries()) {
    verifier.line(line)
    const cut = 1_199 - i
    if (cut <= 1_000) assert.equal(verifier.end().problems.length, cut === 0 ? 0 : 1, `cut ${cut}`)
  }
  for (const k of [1, 2, 255, 256, 257, 999, 1_000]) {
    assert.notDeepEqual(await problems([frame, ...records.slice(0, -k)], { keys }), [], `cut ${k}`)
  }
  // Shortened to where a genuine checkpoint was: only who kept a newer one can tell, and does.
  const { origin, seed } = JSON.parse(readFileSync(`${log.dataDir}/audit.key`, 'utf8'))
  const signer = signerOf(origin, Buffer.from(seed, 'base64'))
  const tree = new Frontier()
  for (const [i, line] of records.entries()) {
    tree.add(Buffer.from(/"hash":"([^"]+)"/.exec(line)?.[1] ?? '', 'base64'))
    const size = i + 1
    if (size < 200 || size === 1_200) continue
    const checkpoint = signNote(checkpointText(origin, size, tree.root()), signer)
    const older = canonical({ ...JSON.parse(frame), checkpoint, size })
    const cut = new RegExp(`is of a longer log: this one has ${size} records, so it was cut off`)
    assert.match(new ExportVerifier(older, { keys, checkpoints: [note] }).end().problems[0] ?? '', cut)
    if (size % 100 !== 0) continue
    const whole = [older, ...records.slice(0, size)]
    assert.deepEqual(await problems(whole, { keys }), [], 'it is genuine')
    assert.match((await problems(whole, { keys, checkpoints: [note] })).join(), cut)
  }
})

test('T31: the nearest anchor of all is the key file', async (t) => {
  const log = await openLog(t)
  log.add(Array.from({ length: 1_200 }, (_, i) => draft(i)))
  log.call('checkpoint', { now: NOW })
  log.call('rest')
  const cut = log.reopen(() =>
    attack(log.dataDir, 'DELETE FROM records WHERE leaf = 1199; UPDATE trees SET size = 1199; DELETE FROM checkpoints'),
  )
  assert.match(cut.halted ?? '', /the key file: the log has 1199 records and had 1200/)
  assert.match(log.reopen(() => attack(log.dataDir, 'DELETE FROM facts')).halted ?? '', /audit.db is empty/)
})

test('T33: history signed again with today’s key fails the verifier at the day before', async (t) => {
  const log = await openLog(t)
  const { firstKey } = log.status
  log.add(Array.from({ length: 300 }, (_, i) => draft(i)))
  log.call('step', { now: NOW + DAY_MS })
  log.add(Array.from({ length: 300 }, (_, i) => draft(300 + i)))
  log.call('step', { now: NOW + 2 * DAY_MS })
  log.add([draft(600)])
  assert.notEqual(log.status.key, firstKey)
  const honest = await log.lines()
  assert.equal(JSON.parse(honest[0] as string).epochs.length, 3)
  assert.deepEqual(await problems(honest, { keys: [firstKey] }), [])
  assert.deepEqual(await problems(honest, { keys: [log.status.key] }), [])
  // The attacker writes the whole log anew with one record changed, and signs with the key that is there today.
  const forged = await openLog(t)
  forged.reopen(() => {
    const db = new DatabaseSync(`${forged.dataDir}/audit.db`)
    db.exec(`ATTACH '${log.dataDir}/audit.db' AS whole`)
    db.exec('DELETE FROM facts; INSERT INTO facts SELECT * FROM whole.facts')
    db.exec('DELETE FROM keys; INSERT INTO keys SELECT * FROM whole.keys')
    db.close()
    copyKey(log.dataDir, forged.dataDir)
  })
  const records = honest.slice(1).map((line) => JSON.parse(line).record)
  forged.add(
    records.map(({ seq, at, kind, exchange, ...facts }) => ({
      at: Date.parse(at),
      kind,
      ...(exchange ? { exchange } : {}),
      facts: seq === '7' ? { ...facts, cost: '1' } : facts,
    })),
  )
  const lines = await forged.lines()
  const [frame, ...rest] = lines as [string, ...string[]]
  const { epochs, ...others } = JSON.parse(frame)
  assert.equal(epochs.length, 3)
  assert.ok((await problems(lines, { keys: [firstKey] })).length > 0, 'without the last checkpoints of the old keys')
  const dressed = canonical({ ...others, epochs: JSON.parse(honest[0] as string).epochs })
  const found = (await problems([dressed, ...rest], { keys: [firstKey] })).join('\n')
  assert.match(found, /the first 301 records are not those that the key that signed from record 0 on signed/)
  const kept = log.call('checkpoint', { now: NOW + 2 * DAY_MS }).note
  assert.ok((await problems([dressed, ...rest], { checkpoints: [kept] })).length > 0, 'against a kept checkpoint')
})

/** The stolen key: the forged log was begun with another. */
function copyKey(from: string, to: string): void {
  const { checkpoint: _, ...key } = JSON.parse(readFileSync(`${from}/audit.key`, 'utf8'))
  writeFileSync(`${to}/audit.key`, JSON.stringify(key))
}
