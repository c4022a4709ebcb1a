/**
 * How many connections there may be at once (T61). One more than that is told so and closed: a socket that is silently
 * dropped looks like a network fault, and its client would not know to wait.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

const BODY = JSON.stringify({
  error: {
    message: 'Too many connections. Try again in a moment.',
    type: 'api_error',
    param: null,
    code: 'overloaded',
  },
})
const REFUSAL = `HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(BODY)}\r\n\r\n${BODY}`
/** Long enough to hand over the answer, too short to be a way around the limit. */
const LINGER_MS = 1_000

export function limitConnections(server: Server, most: number, secure: boolean): void {
  let open = 0
  // Before a TLS handshake nobody could read the answer.
  server.prependListener(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
    open++
    socket.once('close', () => open--)
    if (open <= most) return
    socket.on('error', () => socket.destroy())
    socket.end(REFUSAL)
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  })
}
