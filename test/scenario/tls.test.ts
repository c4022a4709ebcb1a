/** A certificate that is renewed while the gateway runs. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import tls from 'node:tls'
import { certificate } from '../../src/wire/loopback.ts'
import { atEnd, launch } from '../chaos/spawned.ts'
import { until } from '../running/index.ts'

function presented(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256)
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

test('SIGHUP reads the certificate anew; a connection that is open goes on; half a pair changes nothing', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'stockyard-tls-'))
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }))
  const files = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') }
  const write = ({ cert, key }: { cert: string; key: string }): void => {
    writeFileSync(files.cert, cert)
    writeFileSync(files.key, key)
  }
  write(certificate('one.example'))
  const { child, output } = launch(t, {
    dataDir: join(directory, 'data'),
    environment: { STOCKYARD_TLS_CERT: files.cert, STOCKYARD_TLS_KEY: files.key },
  })
  await until(() => /listens on https:/.test(output()), 'it listens', 20_000)
  const port = Number(/listens on https:\/\/[^:]+:(\d+)/.exec(output())?.[1])
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })
  atEnd(t, () => agent.destroy())
  const live = (): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const request = https.get({ host: '127.0.0.1', port, path: '/health/live', agent }, (response) => {
        response.resume()
        response.on('end', () => resolve(request.reusedSocket))
      })
      request.on('error', reject)
    })
  await live()
  const first = await presented(port)
  write(certificate('two.example'))
  child.kill('SIGHUP')
  await until(async () => (await presented(port)) !== first, 'the new one is presented', 5_000)
  assert.equal(await live(), true, 'the old connection goes on')
  const second = await presented(port)
  writeFileSync(files.key, certificate('other.example').key)
  child.kill('SIGHUP')
  await until(() => /was not reloaded/.test(output()), 'it says so', 5_000)
  assert.equal(await presented(port), second)
  assert.equal(child.exitCode, null)
})
