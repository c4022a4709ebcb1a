/**
 * An upstream's own way out, over real TLS: authorities of its own, a certificate that it asks us for, and a proxy of its
 * own, direct or through a tunnel; for calls, streamed and not, and for whatever else is asked on its behalf.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Server } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { certificate } from '../../src/wire/loopback.ts'
import { type Running, runGateway, until } from '../running/index.ts'

const CLIENT = certificate('stockyard.example')

async function listening(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

/** TLS in front of the scripted provider: lets in only who shows the client's certificate. */
async function guarded(t: TestContext, name: string, to: number) {
  const own = certificate(name)
  const seen: string[] = []
  const options = { key: own.key, cert: own.cert, requestCert: true, rejectUnauthorized: true, ca: CLIENT.cert }
  const server = https.createServer(options, (request, response) => {
    seen.push(String((request.socket as TLSSocket).getPeerCertificate().subject?.CN))
    const { method = 'GET', headers, url = '/' } = request
    const pass = (answer: IncomingMessage): void => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(response)
    }
    request.pipe(http.request({ port: to, host: '127.0.0.1', path: url, method, headers }, pass))
  })
  t.after(() => server.closeAllConnections())
  return { port: await listening(t, server), ca: own.cert, seen }
}

/** A proxy that leads every tunnel to one port, for whoever knows its password. */
async function tunnels(t: TestContext, to: number) {
  const asked: string[] = []
  const server = http.createServer((_, response) => void response.writeHead(405).end())
  server.on('connect', (request, socket) => {
    asked.push(`${request.url} ${request.headers['proxy-authorization'] ?? 'nobody'}`)
    if (request.headers['proxy-authorization'] === undefined) {
      return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    }
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    const onward = net.connect(to, '127.0.0.1')
    onward.pipe(socket).pipe(onward)
    for (const end of [onward, socket]) end.on('error', () => {})
    t.after(() => onward.destroy())
  })
  t.after(() => server.closeAllConnections())
  return { asked, url: `http://127.0.0.1:${await listening(t, server)}` }
}

const put = (gateway: Running, baseUrl: string, network: object, more: object = {}) =>
  gateway.admin('PUT', 'upstreams/inner', {
    provider: 'openai',
    baseUrl,
    credentials: [{ id: 'main', secret: 'sk-test-secret' }],
    network,
    ...more,
  })
const ask = (gateway: Running, stream = false) => gateway.chat('inner/gpt-4o-mini', 'hello', { stream })

test('A104: an upstream that asks for a certificate gets its own, trusted by an authority of its own', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  const { port, ca, seen } = await guarded(t, 'localhost', gateway.upstream.port)
  const baseUrl = `https://localhost:${port}/v1`
  const shown = { certificate: CLIENT.cert, certificateKey: CLIENT.key }

  await put(gateway, baseUrl, shown)
  assert.equal((await ask(gateway)).status, 502, 'nobody vouches for the upstream')
  await put(gateway, baseUrl, { ca })
  assert.equal((await ask(gateway)).status, 502, 'nobody vouches for us')
  assert.deepEqual(seen, [])
  await put(gateway, baseUrl, { ca, ...shown })
  for (const stream of [false, true]) {
    const answer = await ask(gateway, stream)
    assert.equal(answer.status, 200, answer.text)
    assert.match(answer.text, /echo/)
  }
  assert.deepEqual(seen.splice(0), ['stockyard.example', 'stockyard.example'])

  // The key is written and never read back, nor does it stand in any file as it came; without it, the kept one goes on.
  const secret = CLIENT.key.split('\n')[1] as string
  const told = JSON.stringify(await Promise.all(['upstreams', 'revisions'].map((path) => gateway.admin('GET', path))))
  assert.doesNotMatch(told, /PRIVATE KEY/)
  assert.match(told, /BEGIN CERTIFICATE/)
  for (const file of ['stockyard.db', 'stockyard.db-wal']) {
    assert.ok(!readFileSync(join(gateway.dataDir, file)).includes(secret), `${file} holds the key`)
  }
  await put(gateway, baseUrl, { ca, certificate: CLIENT.cert })
  await gateway.restart()
  assert.equal((await ask(gateway)).status, 200)

  // What else is asked on its behalf goes the same way.
  await gateway.admin('PUT', 'modules/breakers', { mode: 'enforce', settings: { minimumCalls: 1 } })
  await put(gateway, baseUrl, { ca, certificate: CLIENT.cert }, { healthCheck: { everyMs: 100 } })
  seen.splice(0)
  await gateway.chat('inner/gpt-4o-mini+status=500', 'hello')
  await until(() => seen.length > 1, 'it is looked at')
  await put(gateway, baseUrl, { ca, certificate: CLIENT.cert })
  await gateway.admin('PUT', 'modules/guardrails', {
    mode: 'enforce',
    settings: { rules: [{ id: 'moderated', type: 'openai-moderation', on: 'request', upstream: 'inner' }] },
  })
  seen.splice(0)
  const moderated = await gateway.chat('openai/gpt-4o-mini', 'hello')
  assert.equal(moderated.status, 200, moderated.text)
  assert.deepEqual(seen, ['stockyard.example'], 'a module asked it')

  // A removed upstream takes its key along.
  await gateway.admin('DELETE', 'upstreams/inner')
  await assert.rejects(put(gateway, baseUrl, { ca, certificate: CLIENT.cert }), /certificateKey/)
})

test('A104: what is no certificate, or not of this key, is refused before anything changes', async (t) => {
  const gateway = await runGateway(t)
  const other = certificate('other.example')
  const bad: readonly (readonly [object, RegExp])[] = [
    [{ certificate: CLIENT.cert }, /certificateKey/],
    [{ certificate: CLIENT.cert, certificateKey: other.key }, /cannot be used/],
    [{ ca: '-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----' }, /cannot be used/],
    [{ ca: 'none' }, /network\/ca/],
    [{ proxy: 'socks5://127.0.0.1:1' }, /network\/proxy/],
    [{ proxy: 'http://user:password@127.0.0.1:1' }, /network\/proxy/],
  ]
  for (const [network, says] of bad) {
    await assert.rejects(put(gateway, 'https://localhost:1/v1', network), (error: Error) => {
      assert.match(error.message, says)
      assert.doesNotMatch(error.message, /PRIVATE KEY|password@/)
      return true
    })
  }
  const { upstreams } = await gateway.admin('GET', 'upstreams')
  assert.ok(!(upstreams as { id: string }[]).some(({ id }) => id === 'inner'))
})

test('A104: an upstream has a proxy of its own, with a password; the client certificate goes through its tunnel', async (t) => {
  const environment: Record<string, string> = {}
  const gateway = await runGateway(t, { environment })
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  const inner = await guarded(t, 'llm.invalid', gateway.upstream.port)
  const own = await tunnels(t, inner.port)
  const network = { proxy: own.url, ca: inner.ca, certificate: CLIENT.cert, certificateKey: CLIENT.key }
  await put(gateway, 'https://llm.invalid/v1', network)
  const refused = await ask(gateway)
  assert.equal(refused.status, 502)
  assert.match(refused.text, /407/)
  assert.deepEqual(own.asked.splice(0), ['llm.invalid:443 nobody'])

  const proxyCredentials = 'house:p@ss:word'
  await put(gateway, 'https://llm.invalid/v1', { ...network, proxyCredentials })
  for (const stream of [false, true]) assert.match((await ask(gateway, stream)).text, /echo/)
  const basic = `Basic ${Buffer.from(proxyCredentials).toString('base64')}`
  assert.deepEqual(new Set(own.asked.splice(0)), new Set([`llm.invalid:443 ${basic}`]))
  assert.deepEqual(new Set(inner.seen), new Set(['stockyard.example']))
  assert.doesNotMatch(JSON.stringify(await gateway.admin('GET', 'upstreams')), /p@ss/)

  // Instead of everybody's proxy, and `direct` past it.
  const everybodys = await tunnels(t, inner.port)
  Object.assign(environment, { HTTPS_PROXY: everybodys.url, HTTP_PROXY: everybodys.url })
  await gateway.restart()
  assert.equal((await ask(gateway)).status, 200)
  assert.deepEqual(everybodys.asked, [])
  await put(gateway, 'https://llm.invalid/v1', { ...network, proxy: 'direct' })
  assert.equal((await ask(gateway)).status, 502, 'there is no such name')
  assert.deepEqual(everybodys.asked, [])
  const { proxy: _, ...rest } = network
  await put(gateway, 'https://llm.invalid/v1', rest)
  await ask(gateway)
  assert.deepEqual(everybodys.asked, ['llm.invalid:443 nobody'], 'without a word, everybody’s')
})
