/**
 * Which user of this machine holds the other end of a loopback connection. Linux says so in /proc/net/tcp; where nobody
 * says, the question has no answer. Asked once a connection; the file is read once for all that ask at the same time.
 */
import { readFile } from 'node:fs/promises'
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
  let next: Promise<string> | undefined
  let reading: Promise<string> | undefined

  /** A reading that begins after this call: an earlier one may lack the connection. */
  function table(): Promise<string> {
    next ??= (reading ?? Promise.resolve()).then(() => {
      const begun = readTables()
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
      return table().then((text) => {
        // An empty table says nothing; one without the connection, that nobody holds it any more.
        const foreign = text !== '' && userOf(text, ends) !== ourUser
        known.set(socket, foreign)
        return foreign
      })
    },
  }
}

async function readTables(): Promise<string> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'latin1').catch(() => '')),
  )
  return tables.join('')
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
function userOf(text: string, ends: string): number | undefined {
  const at = text.indexOf(` ${ends} `)
  if (at < 0) return undefined
  const fields = text
    .slice(at + 1 + ends.length, text.indexOf('\n', at))
    .trim()
    .split(/\s+/)
  return fields[6] === '0' || fields[4] === undefined ? undefined : Number(fields[4])
}
