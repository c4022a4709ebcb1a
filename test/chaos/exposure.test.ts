/**
 * What forwards to the port must never make strangers look local: behind a stock nginx and a stock haproxy nobody is
 * trusted without a key, and after the first such request nobody at all is until an administrator confirms it.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { freePort } from '../../scripts/free-port.ts'
import { exchange, until } from '../running/index.ts'
import { atEnd, chatBody, MODEL, scratch, spawnGateway, upstreamFor } from './spawned.ts'

const PROXY_KEY = 'proxy-key-of-this-test'

interface Forwarder {
  readonly program: string
  /** Writes its configuration and says how to start it in the foreground. */
  arguments(directory: string, listen: number, to: number): readonly string[]
}

// Until 1.29.6 it forwards as HTTP/1.0, and that is what gives it away: it sends a loopback Host of its own.
const nginx: Forwarder = {
  program: '/usr/sbin/nginx',
  arguments(directory, listen, to) {
    for (const name of ['logs', 'body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']) mkdirSync(join(directory, name))
    const file = join(directory, 'nginx.conf')
    writeFileSync(
      file,
      `daemon off;
       pid ${directory}/nginx.pid;
       error_log ${directory}/logs/error.log;
       worker_processes 1;
       events {}
       http {
         access_log off;
         client_body_temp_path ${directory}/body;
         proxy_temp_path ${directory}/proxy;
         fastcgi_temp_path ${directory}/fastcgi;
         uwsgi_temp_path ${directory}/uwsgi;
         scgi_temp_path ${directory}/scgi;
         server {
           listen 127.0.0.1:${listen};
           location / { proxy_pass http://127.0.0.1:${to}; }
         }
       }`,
    )
    return ['-p', directory, '-c', file, '-e', join(directory, 'logs/error.log')]
  },
}

const haproxy: Forwarder = {
  program: '/usr/sbin/haproxy',
  arguments(directory, listen, to) {
    const file = join(directory, 'haproxy.cfg')
    writeFileSync(
      file,
      `global
         ${process.getuid?.() === 0 ? 'user nobody' : ''}
       defaults
         mode http
         timeout connect 5s
         timeout client 30s
         timeout server 30s
       frontend front
         bind 127.0.0.1:${listen}
         default_backend back
       backend back
         server gateway 127.0.0.1:${to}
`,
    )
    return ['-db', '-f', file]
  },
}

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })

/** The URL it listens on; undefined where the program is missing. */
async function forward(t: TestContext, by: Forwarder, to: number): Promise<string | undefined> {
  try {
    accessSync(by.program, constants.X_OK)
  } catch {
    return undefined
  }
  const directory = scratch(t)
  const port = await freePort()
  const child = spawn(by.program, by.arguments(directory, port, to), { stdio: 'ignore' })
  const ended = new Promise((resolve) => child.on('close', resolve))
  // TERM, so that the master takes its workers along.
  atEnd(t, () => {
    child.kill('SIGTERM')
    return ended
  })
  await until(() => isOpen(port), `${by.program} listens`, 5_000)
  return `http://127.0.0.1:${port}`
}

const send = (url: string, stream: boolean, key?: string) =>
  exchange(
    `${url}/v1/chat/completions`,
    'POST',
    chatBody(MODEL, 'hello there', stream ? { stream } : {}),
    key ? { authorization: `Bearer ${key}` } : {},
  )

for (const [name, by] of Object.entries({ nginx, haproxy })) {
  test(`local trust: a request through a stock ${name} is not local, ends local trust, and needs a key`, async (t) => {
    const upstream = await upstreamFor(t)
    const gateway = await spawnGateway(t, { dataDir: scratch(t), upstream: upstream.url })
    const front = await forward(t, by, gateway.port)
    if (front === undefined) return t.skip(`${by.program} is not installed`)

    assert.equal((await send(gateway.url, false)).status, 200, 'a direct local caller is trusted at first')
    const served = upstream.ledger.rows.length
    for (const stream of [false, true]) {
      const through = await send(front, stream)
      assert.equal(through.status, 401, through.text)
    }
    assert.equal((await send(gateway.url, false)).status, 401, 'from now on direct callers are not trusted either')
    assert.equal(upstream.ledger.rows.length, served, 'nothing was spent')
    assert.equal((await gateway.admin('GET', 'health')).localTrust.lost, true)
    assert.match(gateway.output(), /forwards to this port/)

    await gateway.admin('PUT', 'proxy-key', { key: PROXY_KEY })
    assert.equal((await send(front, false)).status, 401, 'a key is needed')
    assert.equal((await send(front, false, 'another-key-altogether')).status, 401)
    assert.equal((await send(front, false, PROXY_KEY)).json.choices[0].message.content, 'echo: hello there')
    const streamed = await send(front, true, PROXY_KEY)
    assert.equal(streamed.status, 200)
    assert.equal(streamed.data.at(-1), '[DONE]', 'a stream arrives whole')

    await gateway.admin('POST', 'local-trust/confirm')
    assert.equal((await send(gateway.url, false)).status, 200, 'an administrator gives local trust back')
    assert.equal((await send(front, false)).status, 401, 'what is forwarded is still nobody')
  })
}

test('local trust: what a stock haproxy forwards with the gateway’s own Host is not local either', async (t) => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return t.skip('needs root, to run it as another user')
  const upstream = await upstreamFor(t)
  const gateway = await spawnGateway(t, { dataDir: scratch(t), upstream: upstream.url })
  const front = await forward(t, haproxy, gateway.port)
  if (front === undefined) return t.skip(`${haproxy.program} is not installed`)
  const host = `127.0.0.1:${gateway.port}`
  const through = await exchange(`${front}/v1/chat/completions`, 'POST', chatBody(MODEL, 'hello'), { host })
  assert.equal(through.status, 401, through.text)
  assert.equal(upstream.ledger.rows.length, 0, 'nothing was spent')
  assert.equal((await send(gateway.url, false)).status, 200, 'programs of our own user are local as before')
})
