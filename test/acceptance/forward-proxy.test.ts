/** The proxy variables of an operator's network, through the whole product. */
import assert from 'node:assert/strict'
import http, { type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { runGateway } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'

/** A proxy for whole URLs that leads every name to one port here. */
async function forwardProxy(t: TestContext, to: number) {
  const asked: string[] = []
  const server = http.createServer((request, response) => {
    asked.push(request.url ?? '')
    const path = new URL(request.url ?? '', 'http://none').pathname
    const { method = 'GET', headers } = request
    const pass = (answer: IncomingMessage): void => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(response)
    }
    request.pipe(http.request({ port: to, host: '127.0.0.1', path, method, headers }, pass))
  })
  server.on('connect', (request, socket) => {
    asked.push(`CONNECT ${request.url}`)
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

test('A104: HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honored, streamed and not; loopback is called directly', async (t) => {
  const environment: Record<string, string> = {}
  const gateway = await runGateway(t, { environment })
  const proxy = await forwardProxy(t, gateway.upstream.port)
  environment.HTTP_PROXY = proxy.url
  environment.HTTPS_PROXY = proxy.url
  environment.NO_PROXY = 'direct.invalid'
  await gateway.restart()
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  for (const [id, baseUrl] of [
    ['plain', 'http://llm.invalid/v1'],
    ['secure', 'https://llm.invalid/v1'],
    ['direct', 'http://direct.invalid/v1'],
  ] as const) {
    const credentials = [{ id: 'main', secret: 'sk-test-secret' }]
    await gateway.admin('PUT', `upstreams/${id}`, { provider: 'openai', baseUrl, credentials })
  }
  for (const stream of [false, true]) {
    const answer = await gateway.chat('plain/gpt-4o-mini', 'hello', { stream })
    assert.equal(answer.status, 200, answer.text)
    assert.match(answer.text, /echo/)
  }
  assert.deepEqual(proxy.asked.splice(0), Array(2).fill('http://llm.invalid/v1/chat/completions'))
  assert.equal((await gateway.chat('secure/gpt-4o-mini', 'hello')).status, 502)
  assert.deepEqual(proxy.asked.splice(0), ['CONNECT llm.invalid:443'])
  assert.equal((await gateway.chat('direct/gpt-4o-mini', 'hello')).status, 502)
  assert.equal((await gateway.chat(MODEL, 'hello')).status, 200)
  assert.deepEqual(proxy.asked, [], 'the exempt name and loopback do not go through it')
})
