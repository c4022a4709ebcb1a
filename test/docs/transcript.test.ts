/** The pages of examples/ are what a shell prints that runs them: the whole way, with real programs. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { performed, TRANSCRIPTS } from '../../scripts/transcript.ts'
import { readPage } from './markdown.ts'

for (const path of TRANSCRIPTS) {
  test(`${path} says what its commands print`, { timeout: 600_000 }, async (t) => {
    for (const program of ['sh', 'curl', 'seq']) {
      if (spawnSync(program, ['--version']).error) return t.skip(`needs ${program}`)
    }
    const page = readPage(path)
    assert.ok(page.split('\n').filter((line) => line.startsWith('$ ')).length > 20)
    assert.equal(await performed(page), page, 'npm exec -- node scripts/transcript.ts writes it anew')
  })
}
