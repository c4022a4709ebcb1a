/**
 * Places that take lines: an append-only file, a syslog receiver (RFC 5424, over UDP or TCP). No write waits longer than
 * it is told to, whatever stands at the other end: a pipe that nobody reads, a host that swallows packets (T36).
 */
import { createSocket, type Socket } from 'node:dgram'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import net from 'node:net'
import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { OpenOutlet, Outlet } from '../core/egress.ts'
import { badRequest } from '../core/errors.ts'
import { createGuard } from './guard.ts'

/** How much of a file's end is looked through for its last line. */
const TAIL_BYTES = 256 * 1024
const guard = createGuard('administrator', undefined)

export const openOutlet: OpenOutlet = (text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  switch (url?.protocol) {
    case 'file:':
      return bounded(fileOutlet(fileURLToPath(url)))
    case 'syslog:':
      return bounded(udpOutlet(url.hostname, Number(url.port || 514)))
    case 'syslog+tcp:':
      return bounded(tcpOutlet(url.hostname, Number(url.port || 601)))
  }
  throw badRequest(`"${text.slice(0, 200)}" is none of file:///…, syslog://host:port and syslog+tcp://host:port`, 'url')
}

interface Raw {
  write(line: string): Promise<void>
  last?(): Promise<string | undefined>
  close(): void
}

/** One write at a time. While one hangs, those after it are refused at once instead of hanging as well. */
function bounded(raw: Raw): Outlet {
  let queue: Promise<unknown> = Promise.resolve()
  let hanging = false
  return {
    async write(line, limitMs) {
      if (hanging) throw new Error('a write before this one has not ended')
      const writing = queue.then(() => raw.write(line))
      queue = writing.catch(() => {})
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          hanging = true
          void queue.then(() => (hanging = false))
          reject(new Error(`it was not taken within ${limitMs} ms`))
        }, limitMs)
      })
      try {
        await Promise.race([writing, late])
      } finally {
        clearTimeout(timer)
      }
    },
    last: async () => raw.last?.(),
    close: () => raw.close(),
  }
}

function fileOutlet(path: string): Raw {
  // Without O_NONBLOCK, opening a pipe that nobody reads would hold a thread of the pool for ever.
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | (constants.O_NONBLOCK ?? 0)
  const withFile = async <T>(how: number, work: (file: FileHandle) => Promise<T>): Promise<T> => {
    const file = await open(path, how, 0o600)
    try {
      return await work(file)
    } finally {
      await file.close()
    }
  }
  return {
    write: (line) =>
      withFile(flags, async (file) => {
        await file.appendFile(`${line}\n`)
        await file.sync().catch((error: NodeJS.ErrnoException) => {
          // What cannot be synced (a pipe, a device) has nothing to sync.
          if (error.code !== 'EINVAL' && error.code !== 'ENOTSUP') throw error
        })
      }),
    last: () =>
      withFile(constants.O_RDONLY | (constants.O_NONBLOCK ?? 0), async (file) => {
        const { size } = await file.stat()
        const tail = Buffer.alloc(Math.min(size, TAIL_BYTES))
        await file.read(tail, 0, tail.length, size - tail.length)
        // A line without its end was cut off while it was written.
        const lines = tail.toString('utf8').split('\n').slice(0, -1)
        return lines.at(-1)
      }).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined
        throw error
      }),
    close() {},
  }
}

/** Facility 13 (log audit), severity notice. */
const PRIORITY = 13 * 8 + 5
const message = (line: string): Buffer =>
  Buffer.from(`<${PRIORITY}>1 ${new Date().toISOString()} ${hostname()} stockyard ${process.pid} audit - ${line}`)

function udpOutlet(host: string, port: number): Raw {
  let socket: Socket | undefined
  const address = (): Promise<{ address: string; family: number }> =>
    new Promise((resolve, reject) => {
      guard.lookup(host, {}, (error, found, family) => {
        if (error) reject(error)
        else resolve({ address: found as string, family: family as number })
      })
    })
  return {
    async write(line) {
      const to = await address()
      if (socket === undefined) {
        socket = createSocket(to.family === 6 ? 'udp6' : 'udp4')
        socket.unref()
        // An error of the last datagram; the next write tries anew.
        socket.on('error', () => {
          socket?.close()
          socket = undefined
        })
      }
      const out = socket
      await new Promise<void>((resolve, reject) => {
        out.send(message(line), port, to.address, (error) => (error ? reject(error) : resolve()))
      })
    },
    close() {
      socket?.close()
      socket = undefined
    },
  }
}

/** Octet counting (RFC 6587), since a line may hold anything. */
function tcpOutlet(host: string, port: number): Raw {
  let connected: Promise<net.Socket> | undefined
  const connect = (): Promise<net.Socket> =>
    new Promise((resolve, reject) => {
      const socket = net.connect({ host, port, lookup: guard.lookup as never, noDelay: true })
      const gone = (error?: Error): void => {
        connected = undefined
        reject(error ?? new Error('the connection was closed'))
      }
      socket.unref()
      socket.on('error', gone)
      socket.on('close', () => gone())
      // A receiver that says goodbye takes nothing more.
      socket.on('end', () => socket.destroy())
      socket.resume()
      socket.on('connect', () => resolve(socket))
    })
  return {
    async write(line) {
      connected ??= connect()
      const socket = await connected
      const bytes = message(line)
      await new Promise<void>((resolve, reject) => {
        socket.write(Buffer.concat([Buffer.from(`${bytes.length} `), bytes]), (error) =>
          error ? reject(error) : resolve(),
        )
      })
    },
    close: () => void connected?.then((socket) => socket.destroy()).catch(() => {}),
  }
}
