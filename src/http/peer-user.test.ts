import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createPeerUsers } from './peer-user.ts'

const onLinux = process.platform === 'linux' ? {} : { skip: 'only Linux tells who holds a connection' }

async function serverOn(t: TestContext, host: string): Promise<{ port: number; connection: Promise<Socket> }> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  t.after(() => server.close())
  const connection = once(server, 'connection').then(([socket]) => {
    t.after(() => (socket as Socket).destroy())
    return socket as Socket
  })
  return { port: (server.address() as AddressInfo).port, connection }
}

for (const host of ['127.0.0.1', '::1', '::']) {
  test(`a connection of our own user on ${host} is not foreign, one of another user is`, onLinux, async (t) => {
    const { port, connection } = await serverOn(t, host)
    const client = net.connect(port, host === '::' ? '127.0.0.1' : host)
    t.after(() => client.destroy())
    const socket = await connection
    assert.equal(await createPeerUsers().isForeign(socket), false)
    const users = createPeerUsers((process.getuid?.() ?? 0) + 1)
    assert.equal(await users.isForeign(socket), true)
    assert.equal(users.isForeign(socket), true, 'asked once a connection')
  })
}

test('a connection of a process of another user is foreign', onLinux, async (t) => {
  if (process.getuid?.() !== 0) return t.skip('starting a program as another user needs root')
  const { port, connection } = await serverOn(t, '127.0.0.1')
  const script = `require('net').connect(${port}, '127.0.0.1').on('end', () => process.exit())`
  const child = spawn(process.execPath, ['-e', script], { uid: 65534, stdio: 'ignore' })
  const failed = once(child, 'error').then(() => undefined)
  t.after(() => child.kill())
  const socket = await Promise.race([connection, failed, once(child, 'exit').then(() => undefined)])
  if (!socket) return t.skip('another user cannot run this Node here')
  assert.equal(await createPeerUsers().isForeign(socket), true)
})

test('a connection that its client has left is nobody’s', onLinux, async (t) => {
  const { port, connection } = await serverOn(t, '127.0.0.1')
  const client = net.connect(port, '127.0.0.1')
  const socket = await connection
  const closed = once(client, 'close')
  client.destroy()
  await closed
  assert.equal(await createPeerUsers().isForeign(socket), true)
})

test('connections that ask at once share the readings', onLinux, async (t) => {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets: Socket[] = []
  server.on('connection', (socket) => sockets.push(socket))
  const clients = Array.from({ length: 50 }, () => net.connect((server.address() as AddressInfo).port, '127.0.0.1'))
  t.after(() => {
    for (const socket of [...clients, ...sockets]) socket.destroy()
    server.close()
  })
  await Promise.all(clients.map((client) => once(client, 'connect')))
  while (sockets.length < 50) await new Promise((resolve) => setTimeout(resolve, 5))
  const users = createPeerUsers()
  assert.deepEqual(new Set(await Promise.all(sockets.map((socket) => users.isForeign(socket)))), new Set([false]))
})
