/**
 * The executable, as somebody gets it: alone in an empty folder, without the sources. Made by `npm run build`, run by
 * `npm run test:executable`.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '../..')
const executable = join(root, 'dist', process.platform === 'win32' ? 'stockyard.exe' : 'stockyard')
const skip = existsSync(executable) ? false : 'dist/stockyard is not there: npm run build'

test('`version` says the version of package.json', { skip }, (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'stockyard-executable-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  // Nothing of the environment but what any program needs: it must not find the checkout by accident.
  const env = { PATH: '/usr/bin:/bin', HOME: folder }
  const done = spawnSync(executable, ['version'], { cwd: folder, env, encoding: 'utf8', timeout: 20_000 })
  assert.equal(done.status, 0, done.stderr)
  assert.ok(done.stdout.includes(version), done.stdout)
  assert.equal(done.stderr, '')
})
