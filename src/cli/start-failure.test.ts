import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { serve } from '../serve.ts'
import { startFailure } from './start-failure.ts'

/** What a start with these flags says. */
async function said(dataDir: string, host = '127.0.0.1', port = '0'): Promise<string> {
  const environment = { STOCKYARD_ADMIN_KEY: 'sk-sy-admin-of-this-test' }
  const workerUrl = new URL('../store/local/worker.ts', import.meta.url)
  try {
    const served = await serve({ host, port: Number(port), dataDir, workerUrl, logLevel: 'silent', environment })
    await served.close(0)
  } catch (error) {
    return startFailure(error as Error, { host, port, dataDir })
  }
  throw new Error('it started')
}

test('a start that fails says what is wrong with which flag', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'stockyard-test-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = join(dir, 'file')
  writeFileSync(file, '')
  assert.match(await said(file), /file cannot hold the data \((?:EEXIST|ENOTDIR).*--data-dir/)
  assert.match(await said(join(file, 'below')), /below cannot hold the data \(ENOTDIR.*--data-dir/)
  assert.match(await said(join(dir, 'a'), '192.0.2.1'), /--host 192\.0\.2\.1 is no address of this machine/)
  const flags = { host: '127.0.0.1', port: '80', dataDir: '/data' }
  const denied = { message: 'EACCES: permission denied', code: 'EACCES' }
  assert.match(startFailure({ ...denied, syscall: 'listen' }, flags), /Port 80 may not be used/)
  assert.match(startFailure({ ...denied, path: '/data', syscall: 'mkdir' }, flags), /^\/data cannot hold the data/)
  assert.match(
    startFailure({ ...denied, path: '/data' }, { ...flags, dataDir: '/data/below' }),
    /^\/data\/below cannot/,
  )
  assert.equal(startFailure({ ...denied, path: '/etc/tls.pem', syscall: 'open' }, flags), denied.message)
  assert.match(startFailure({ message: 'database or disk is full', errcode: 13 }, flags), /The disk of \/data is full/)
})
