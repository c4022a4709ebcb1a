/** Why the gateway did not start, in the words of whoever started it, with what to do about it. */
import { resolve } from 'node:path'

interface Failure {
  readonly message: string
  readonly code?: string
  readonly syscall?: string
  readonly path?: string
  /** SQLite's own number. */
  readonly errcode?: number
}

const SQLITE = { perm: 3, readonly: 8, full: 13, cantOpen: 14 }

export function startFailure(
  { message, code, syscall, path, errcode }: Failure,
  { host, port, dataDir }: { readonly host: string; readonly port: string; readonly dataDir: string },
): string {
  if (code === 'EADDRINUSE') return `Port ${port} is taken. Choose another with --port, or stop what listens there.`
  if (code === 'EADDRNOTAVAIL' || syscall === 'getaddrinfo') return `--host ${host} is no address of this machine.`
  if (code === 'EACCES' && syscall === 'listen') {
    return `Port ${port} may not be used by this user. Choose one above 1023 with --port.`
  }
  if (code === 'ENOSPC' || errcode === SQLITE.full) {
    return `The disk of ${dataDir} is full. Free some space, or choose another place with --data-dir.`
  }
  const whole = resolve(dataDir)
  const isItsPlace = path !== undefined && (resolve(path).startsWith(whole) || whole.startsWith(resolve(path)))
  if (isItsPlace || errcode === SQLITE.perm || errcode === SQLITE.readonly || errcode === SQLITE.cantOpen) {
    return `${dataDir} cannot hold the data (${message}). Choose a directory of this user's own with --data-dir.`
  }
  return message
}
