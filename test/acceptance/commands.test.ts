/** What the commands say when they are used wrongly: one line that names the mistake, status 1, and no stack. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { MAIN, scratch } from '../chaos/spawned.ts'
import { runGateway } from '../running/index.ts'

const run = promisify(execFile)

test('a command that is used wrongly says so in a line; a group of commands without more lists what is there', async (t) => {
  const gateway = await runGateway(t)
  const cwd = scratch(t)
  writeFileSync(join(cwd, 'broken.yaml'), 'modules: {cache: [')
  mkdirSync(join(cwd, 'elsewhere'))
  const stockyard = async (words: readonly string[]) => {
    const env = {
      PATH: process.env.PATH,
      HOME: cwd,
      STOCKYARD_URL: gateway.url,
      STOCKYARD_ADMIN_KEY: gateway.adminKey,
      STOCKYARD_DATA_DIR: gateway.dataDir,
    }
    const did = run(process.execPath, [MAIN, ...words], { cwd: join(cwd, 'elsewhere'), env, timeout: 60_000 })
    return did.then(
      ({ stdout }) => ({ status: 0, said: stdout }),
      (error) => ({ status: error.code as number, said: String(error.stderr) }),
    )
  }
  const wrong: readonly (readonly [RegExp, ...string[]])[] = [
    [/no command "modul"/, 'modul'],
    [/Flow map must end/, 'modules', 'set', 'cache', 'enforce', '--settings', '{ttlSeconds: 5'],
    [/mode: must be one of "off", "observe", "enforce"/, 'modules', 'set', 'cache', 'bogus'],
    [/no such file.*nope\.yaml/, 'config', 'plan', 'nope.yaml'],
    [/at line 1/, 'config', 'apply', '../broken.yaml'],
    [/no such file.*nope\.pem/, 'upstreams', 'set', 'x', '--provider', 'openai', '--ca', 'nope.pem'],
    [/--port abc is not a port/, 'mock', '--port', 'abc'],
    [/no such file or directory, mkdir '\/proc\/none'/, 'serve', '--port', '0', '--data-dir', '/proc/none/there'],
    [/query\/limit/, 'logs', '--limit', 'many'],
  ]
  const right: readonly (readonly [RegExp, ...string[]])[] = [
    [/^id .*\nkeys /, 'modules'],
    [/openai/, 'upstreams'],
    [/upstreams:/, 'config'],
    [/backed up to .*elsewhere\/kept/, 'backup', 'kept'],
  ]
  const all = [...wrong.map((one) => [1, one] as const), ...right.map((one) => [0, one] as const)]
  await Promise.all(
    [0, 1].map(async (turn) => {
      for (const [status, [expected, ...words]] of all.filter((_, n) => n % 2 === turn)) {
        const did = await stockyard(words)
        assert.equal(did.status, status, `${words.join(' ')}: ${did.said}`)
        assert.match(did.said, expected, words.join(' '))
        if (status === 1) assert.equal(did.said.trim().split('\n').length, 1, did.said)
      }
    }),
  )
})
