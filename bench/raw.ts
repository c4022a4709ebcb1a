/**
 * The floor that ratios are taken against: Node's `http` server and undici's `Pool.request`, the body collected, JSON
 * parsed both ways, no policy and no books. Streams are handed on as they come. Prints its port; ends with its parent.
 *
 *   node raw.ts <upstream port>
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool } from 'undici'

const upstream = new Pool(`http://127.0.0.1:${process.argv[2]}`, { headersTimeout: 600_000, bodyTimeout: 300_000 })

async function relay(request: IncomingMessage, sent: Buffer, out: ServerResponse): Promise<void> {
  const asked = JSON.parse(sent.toString()) as { stream?: boolean }
  const reply = await upstream.request({
    method: 'POST',
    path: request.url ?? '/',
    headers: { 'content-type': 'application/json', authorization: 'Bearer bench' },
    body: sent,
  })
  const type = String(reply.headers['content-type'])
  if (asked.stream === true) {
    out.writeHead(reply.statusCode, { 'content-type': type })
    reply.body.on('data', (bytes: Buffer) => {
      if (!out.write(bytes)) {
        reply.body.pause()
        out.once('drain', () => reply.body.resume())
      }
    })
    reply.body.on('end', () => out.end())
    reply.body.on('error', () => out.destroy())
    out.on('close', () => reply.body.destroy())
    return
  }
  const body = await reply.body.text()
  JSON.parse(body)
  out.writeHead(reply.statusCode, { 'content-type': type, 'content-length': Buffer.byteLength(body) })
  out.end(body)
}

const server = createServer({ noDelay: true, keepAliveTimeout: 75_000, requestTimeout: 0 }, (request, out) => {
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.on('end', () => {
    const sent = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
    relay(request, sent, out).catch(() => out.destroy())
  })
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
})
process.stdin.on('end', () => process.exit(0)).resume()
