/**
 * The upstream of the bench, a process of its own: HTTP/1.1 on a raw socket with replies built beforehand. It looks for
 * nothing but the end of a request and what kind of reply it asks for, so that it costs a small part of any gateway.
 * Prints its port; ends when its parent does.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { ANTHROPIC_PATH, anthropicBody, anthropicEvents, PACES, replyBody, streamEvents } from './workloads.ts'

const HEAD_END = Buffer.from('\r\n\r\n')
const STREAMED = Buffer.from('"stream":true')
const MAX_REQUEST_BYTES = 1_048_576

const lengthRequired = Buffer.from('HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')

const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
const streamHead =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n'

interface Replies {
  readonly unary: Buffer
  readonly pieces: readonly Buffer[]
}
function repliesOf(body: Buffer, events: readonly string[]): Replies {
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\ncontent-length: ${body.length}\r\n\r\n`
  const [role = '', firstDelta = '', ...others] = events
  const done = others.pop() ?? ''
  return {
    unary: Buffer.concat([Buffer.from(head), body]),
    // Head, role and first delta leave together, as they do at real providers: who holds the role back loses nothing.
    pieces: [
      Buffer.from(streamHead + chunk(role) + chunk(firstDelta)),
      ...others.map((text) => Buffer.from(chunk(text))),
      Buffer.from(chunk(done)),
      // The end of the body comes apart from the last event, as it mostly does: who hangs up in between pays for it.
      Buffer.from('0\r\n\r\n'),
    ],
  }
}
const openai = repliesOf(replyBody, streamEvents)
const anthropic = repliesOf(anthropicBody, anthropicEvents)
const ANTHROPIC = Buffer.from(` ${ANTHROPIC_PATH} `)
/** Behind the method. */
const REQUEST_LINE = 40

/** Paced streams wait in slots of 10 ms, so that one timer serves all of them. */
const SLOT_MS = 10
interface Paced {
  readonly socket: Socket
  readonly pieces: readonly Buffer[]
  readonly slots: number
  next: number
}
const wheel = new Map<number, Paced[]>()
let slotNow = 0
let timer: NodeJS.Timeout | undefined
const startedAt = performance.now()

function wait(stream: Paced): void {
  const slot = slotNow + stream.slots
  const waiting = wheel.get(slot)
  if (waiting) waiting.push(stream)
  else wheel.set(slot, [stream])
  timer ??= setInterval(turn, SLOT_MS / 2)
}

function turn(): void {
  const until = Math.floor((performance.now() - startedAt) / SLOT_MS)
  if (wheel.size === 0) {
    clearInterval(timer)
    timer = undefined
  }
  while (slotNow < until) {
    slotNow++
    const due = wheel.get(slotNow)
    if (!due) continue
    wheel.delete(slotNow)
    for (const stream of due) {
      const piece = stream.pieces[stream.next++]
      if (stream.socket.destroyed || !piece) continue
      stream.socket.write(piece)
      if (stream.next < stream.pieces.length) wait(stream)
    }
  }
}

function answer(socket: Socket, body: Buffer, { unary, pieces }: Replies): void {
  // What asks for a stream stands near the front, before the messages.
  if (body.subarray(0, 256).indexOf(STREAMED) === -1 && body.indexOf(STREAMED) === -1) {
    socket.write(unary)
    return
  }
  const paceMs = PACES.find((pace) => body.indexOf(pace.marker) !== -1)?.paceMs
  if (paceMs === undefined) {
    for (const piece of pieces) socket.write(piece)
    return
  }
  if (timer === undefined) slotNow = Math.floor((performance.now() - startedAt) / SLOT_MS)
  socket.write(pieces[0] as Buffer)
  wait({ socket, pieces, slots: paceMs / SLOT_MS, next: 1 })
}

function serve(socket: Socket): void {
  let kept: Buffer | undefined
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.on('data', (read: Buffer) => {
    let bytes = kept ? Buffer.concat([kept, read]) : read
    kept = undefined
    while (bytes.length > 0) {
      const headEnd = bytes.indexOf(HEAD_END)
      const bodyStart = headEnd + HEAD_END.length
      let end = bodyStart
      if (headEnd !== -1) {
        const length = /\r\ncontent-length: *(\d+)/i.exec(bytes.toString('latin1', 0, headEnd))?.[1]
        if (length === undefined) {
          socket.end(lengthRequired)
          return
        }
        end += Number(length)
      }
      if (headEnd === -1 || bytes.length < end) {
        kept = bytes
        if (Math.max(end, bytes.length) > MAX_REQUEST_BYTES) socket.destroy()
        return
      }
      const isAnthropic = bytes.subarray(0, REQUEST_LINE).includes(ANTHROPIC)
      answer(socket, bytes.subarray(bodyStart, end), isAnthropic ? anthropic : openai)
      bytes = bytes.subarray(end)
    }
  })
}

const server = createServer({ keepAlive: false }, serve)
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
})
process.stdin.on('end', () => process.exit(0)).resume()
