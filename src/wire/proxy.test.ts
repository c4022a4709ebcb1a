import assert from 'node:assert/strict'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { callTo, certificate, egressFor, eventually, failureOf, resolving, serve, serveWith, text } from './loopback.ts'
import { proxiesOf } from './proxy.ts'

test('A104: the variables are read in capitals and small letters; small ones win', () => {
  const via = (environment: Record<string, string>, url: string): string | undefined =>
    proxiesOf(environment)(new URL(url))?.host
  assert.equal(via({}, 'https://api.openai.com'), undefined)
  assert.equal(via({ HTTPS_PROXY: 'http://p:1' }, 'https://api.openai.com'), 'p:1')
  assert.equal(via({ https_proxy: 'http://q:2', HTTPS_PROXY: 'http://p:1' }, 'https://api.openai.com'), 'q:2')
  assert.equal(via({ HTTPS_PROXY: 'http://p:1' }, 'http://api.openai.com'), undefined)
  assert.equal(via({ HTTP_PROXY: 'p.corp:3128' }, 'http://api.openai.com'), 'p.corp:3128')
  assert.equal(via({ HTTP_PROXY: 'http://p:1' }, 'https://api.openai.com'), undefined)
  assert.equal(via({ HTTPS_PROXY: '' }, 'https://api.openai.com'), undefined)
})

test('A104: loopback is never proxied, and NO_PROXY names domains, ports, addresses and networks', () => {
  const direct = (list: string, url: string): boolean =>
    proxiesOf({ HTTPS_PROXY: 'http://p:1', HTTP_PROXY: 'http://p:1', NO_PROXY: list })(new URL(url)) === undefined
  for (const host of [
    'localhost',
    'a.localhost',
    '127.0.0.1',
    '127.9.9.9',
    '[::1]',
    '[::ffff:127.0.0.1]',
    'localhost.',
  ]) {
    assert.equal(direct('', `http://${host}:11434/v1`), true, host)
  }
  const cases: readonly (readonly [list: string, url: string, direct: boolean])[] = [
    ['example.com', 'https://example.com', true],
    ['example.com', 'https://api.example.com', true],
    ['example.com', 'https://notexample.com', false],
    ['.example.com', 'https://example.com', true],
    ['.example.com', 'https://api.example.com.', true],
    ['*.example.com', 'https://api.example.com', true],
    ['*.example.com', 'https://example.com', false],
    ['EXAMPLE.com', 'https://Example.COM', true],
    ['a.com, b.com c.com', 'https://c.com', true],
    ['example.com:8443', 'https://example.com:8443', true],
    ['example.com:8443', 'https://example.com', false],
    ['example.com:443', 'https://example.com', true],
    ['*', 'https://anything.at.all', true],
    ['10.0.0.5', 'http://10.0.0.5', true],
    ['10.0.0.0/8', 'http://10.200.3.4', true],
    ['10.0.0.0/8', 'http://11.0.0.1', false],
    ['fd00::/8', 'http://[fd12::1]', true],
    ['[fd12::1]', 'http://[fd12::1]:80', true],
    ['fd12::1', 'http://[fd12::1]', true],
    ['[fd12::1]:81', 'http://[fd12::1]', false],
    ['', 'https://example.com', false],
  ]
  for (const [list, url, expected] of cases) assert.equal(direct(list, url), expected, `${list} ${url}`)
})

test('a proxy address that cannot be used is refused at once, without its password', () => {
  for (const value of ['socks5://u:secret@p:1', 'ftp://u:secret@p', 'http://u:secret@:::']) {
    assert.throws(
      () => proxiesOf({ HTTPS_PROXY: value }),
      (error: Error) => /^HTTPS_PROXY/.test(error.message) && !error.message.includes('secret'),
    )
  }
})

/** A proxy that leads every name to one port here, and remembers what it was asked. */
async function proxyTo(t: TestContext, port: number, refuse = 0) {
  const asked: { line: string; authorization: string | undefined; host: string | undefined }[] = []
  const note = (request: http.IncomingMessage): void => {
    const { method, url, headers } = request
    asked.push({ line: `${method} ${url}`, authorization: headers['proxy-authorization'], host: headers.host })
  }
  const server = http.createServer((request, response) => {
    note(request)
    if (refuse) return void response.writeHead(refuse).end('go away')
    const { pathname } = new URL(request.url ?? '')
    request.pipe(
      http.request({ port, host: '127.0.0.1', path: pathname, method: request.method ?? 'GET' }, (answer) => {
        response.writeHead(answer.statusCode ?? 0, answer.headers)
        answer.pipe(response)
      }),
    )
  })
  server.on('connect', (request, client: net.Socket) => {
    note(request)
    if (refuse) return void client.end(`HTTP/1.1 ${refuse} No\r\n\r\n`)
    const upstream = net.connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      upstream.pipe(client).pipe(upstream)
    })
    upstream.on('error', () => client.destroy())
    client.on('error', () => upstream.destroy())
    client.on('close', () => upstream.destroy())
  })
  const origin = await serveWith(t, server)
  return { asked, host: new URL(origin).host }
}

const CERTIFICATE = certificate('api.example')

test('A104: https goes through a tunnel, verified end to end, on one connection for several calls', async (t) => {
  const server = https.createServer({ ...CERTIFICATE }, (request, response) => response.end(`saw ${request.url}`))
  const { port } = new URL(await serveWith(t, server))
  const proxy = await proxyTo(t, Number(port))
  const environment = { HTTPS_PROXY: `http://me:p%40ss@${proxy.host}` }
  const resolve = resolving(() => assert.fail('the proxy resolves names'))
  const egress = egressFor(t, { environment, ca: CERTIFICATE.cert, resolve })
  for (const path of ['/v1/a', '/v1/b']) {
    assert.equal(await text(await egress.send(callTo(`https://api.example${path}`))), `saw ${path}`)
  }
  const authorization = `Basic ${Buffer.from('me:p@ss').toString('base64')}`
  assert.deepEqual(proxy.asked, [{ line: 'CONNECT api.example:443', authorization, host: 'api.example:443' }])
  const stranger = egressFor(t, { environment })
  const error = await failureOf(stranger.send(callTo('https://api.example/v1/a')))
  assert.match(error.message, /certificate of api\.example is self-signed/)
})

test('A104: http goes to the proxy as whole URLs', async (t) => {
  const { port } = new URL(await serve(t, (request, response) => void response.end(`saw ${request.url}`)))
  const proxy = await proxyTo(t, Number(port))
  const egress = egressFor(t, { environment: { http_proxy: `http://me:pass@${proxy.host}` } })
  assert.equal(await text(await egress.send(callTo('http://api.example:8080/v1/a?b=c'))), 'saw /v1/a')
  assert.deepEqual(proxy.asked, [
    {
      line: 'POST http://api.example:8080/v1/a?b=c',
      authorization: `Basic ${Buffer.from('me:pass').toString('base64')}`,
      host: 'api.example:8080',
    },
  ])
})

test('A104: a loopback upstream is called directly though a proxy is set', async (t) => {
  const origin = await serve(t, (_request, response) => void response.end('direct'))
  const egress = egressFor(t, { environment: { HTTP_PROXY: 'http://127.0.0.1:1' } })
  assert.equal(await text(await egress.send(callTo(origin))), 'direct')
})

test('a proxy that refuses, wants credentials or is away is named', async (t) => {
  const cases: readonly (readonly [number, RegExp])[] = [
    [407, /the proxy asks for credentials \(407\)/],
    [403, /the proxy refused the tunnel with status 403/],
  ]
  for (const [status, message] of cases) {
    const proxy = await proxyTo(t, 1, status)
    const egress = egressFor(t, { environment: { HTTPS_PROXY: `http://${proxy.host}` } })
    const error = await failureOf(egress.send(callTo('https://api.example/')))
    assert.equal(error.code, 'upstream_unreachable')
    assert.match(error.message, message)
  }
  const plain = await proxyTo(t, 1, 407)
  const forwarding = egressFor(t, { environment: { HTTP_PROXY: `http://${plain.host}` } })
  assert.match((await failureOf(forwarding.send(callTo('http://api.example/')))).message, /credentials \(407\)/)
  const away = egressFor(t, { environment: { HTTPS_PROXY: 'http://127.0.0.1:1' } })
  const error = await failureOf(away.send(callTo('https://api.example/')))
  assert.match(error.message, /the proxy could not be reached \(ECONNREFUSED\)/)
})

test('a client that leaves while a tunnel is dug closes the connection to the proxy', async (t) => {
  let opened = 0
  let closed = 0
  const server = net.createServer((socket) => {
    opened++
    socket.resume()
    socket.on('close', () => closed++)
  })
  const origin = await serveWith(t, server)
  const client = new AbortController()
  const egress = egressFor(t, { environment: { HTTPS_PROXY: origin } })
  const outcome = failureOf(egress.send(callTo('https://api.example/', { signal: client.signal })))
  await eventually(() => opened === 1)
  client.abort()
  assert.equal((await outcome).code, 'client_closed')
  await eventually(() => closed === 1)
})

test('T74: for a public audience a proxy is not asked for names that lead inside', async (t) => {
  const proxy = await proxyTo(t, 1)
  const environment = { HTTPS_PROXY: `http://${proxy.host}`, HTTP_PROXY: `http://${proxy.host}` }
  const egress = egressFor(t, { environment, audience: 'public', resolve: resolving(() => '10.0.0.1') })
  for (const url of ['https://inside.example/', 'http://inside.example/', 'http://169.254.169.254/']) {
    assert.match((await failureOf(egress.send(callTo(url)))).message, /its address .* is (private|link-local)/)
  }
  assert.deepEqual(proxy.asked, [])
})
