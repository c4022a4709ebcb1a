/**
 * Which user of this machine holds the other end of a loopback connection. Linux says so in /proc/net/tcp; where nobody
 * says, the question has no answer. Asked once a connection; the file is read once for all that ask at the same time.
 */
import { open } from 'node:fs/promises'
import { isIPv4, type Socket } from 'node:net'

export interface PeerUsers {
  /** Whether it is a user other than ours, or nobody any more. False where the machine does not say. */
  isForeign(socket: Socket): boolean | Promise<boolean>
}

/** Tells nothing: no machine but Linux has such tables. */
const NOBODY_ASKS: PeerUsers = { isForeign: () => false }

export function createPeerUsers(ourUser = process.getuid?.()): PeerUsers {
  if (process.platform !== 'linux' || ourUser === undefined) return NOBODY_ASKS
  const known = new WeakMap<Socket, boolean>()
  const read = tableReader()
  let next: Promise<Buffer> | undefined
  let reading: Promise<Buffer> | undefined

  /** A reading that begins after this call: an earlier one may lack the connection. */
  function table(): Promise<Buffer> {
    next ??= (reading ?? Promise.resolve()).then(() => {
      const begun = read()
      reading = begun
      next = undefined
      return begun
    })
    return next
  }

  return {
    isForeign(socket) {
      const before = known.get(socket)
      if (before !== undefined) return before
      const ends = endsOf(socket)
      if (ends === undefined) return true
      return table().then((lines) => {
        // An empty table says nothing; one without the connection, that nobody holds it any more.
        const foreign = lines.length > 0 && userOf(lines, ends) !== ourUser
        known.set(socket, foreign)
        return foreign
      })
    },
  }
}

/**
 * The tables have a line for each connection of the machine. With thousands of them, new bytes for each look would be
 * most of what the process takes, so one buffer serves all; what a reading gave holds until the next one begins.
 */
function tableReader(): () => Promise<Buffer> {
  let bytes = Buffer.allocUnsafeSlow(64 * 1024)
  return async () => {
    let length = 0
    for (const path of ['/proc/net/tcp', '/proc/net/tcp6']) {
      const file = await open(path).catch(() => undefined)
      if (file === undefined) continue
      try {
        for (;;) {
          if (length === bytes.length) bytes = Buffer.concat([bytes], bytes.length * 2)
          const { bytesRead } = await file.read(bytes, length, bytes.length - length)
          if (bytesRead === 0) break
          length += bytesRead
        }
      } finally {
        await file.close()
      }
    }
    return bytes.subarray(0, length)
  }
}

/** The connection as its other end sees it, in the tables' notation: `local remote`. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string | undefined {
  const theirs = hexAddress(remoteAddress)
  const ours = hexAddress(localAddress)
  if (theirs === undefined || ours === undefined || remotePort === undefined || localPort === undefined)
    return undefined
  return `${theirs}:${hexPort(remotePort)} ${ours}:${hexPort(localPort)}`
}

const hexPort = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0')

/** Four bytes in the machine's own order, which is little-endian wherever Node runs on Linux today. */
function hexAddress(address: string | undefined): string | undefined {
  if (address === '::1') return '00000000000000000000000001000000'
  const plain = address?.replace(/^::ffff:/, '')
  if (plain === undefined || !isIPv4(plain)) return undefined
  const bytes = plain.split('.').map((part) => Number(part).toString(16).toUpperCase().padStart(2, '0'))
  return bytes.reverse().join('')
}

/** A line: number, local, remote, state, queues, timer, retransmits, user, timeout, inode. An inode of 0 is nobody's. */
function userOf(lines: Buffer, ends: string): number | undefined {
  const at = lines.indexOf(` ${ends} `, 0, 'latin1')
  if (at < 0) return undefined
  const fields = lines
    .toString('latin1', at + 1 + ends.length, lines.indexOf(0x0a, at))
    .trim()
    .split(/\s+/)
  return fields[6] === '0' || fields[4] === undefined ? undefined : Number(fields[4])
}
