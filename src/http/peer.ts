/**
 * The address a request really comes from. A forwarding proxy is believed only if an operator named it, and then only as
 * far as the chain of named ones goes: what a stranger wrote before it counts for nothing.
 */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { type AddressList, withoutMapping } from '../core/addresses.ts'

export type PeerOf = (request: IncomingMessage) => string

export const socketPeer: PeerOf = (request) => request.socket.remoteAddress ?? ''

export function forwardedPeer(trusted: AddressList): PeerOf {
  return (request) => {
    let peer = socketPeer(request)
    if (!trusted.has(peer)) return peer
    for (const hop of hopsOf(request).reverse()) {
      // What is no address ends the chain: nobody is that.
      if (isIP(hop) === 0) return peer
      peer = hop
      if (!trusted.has(hop)) return peer
    }
    return peer
  }
}

/** From the client to the nearest proxy. */
function hopsOf({ headers }: IncomingMessage): string[] {
  const list = headers['x-forwarded-for']
  const text = Array.isArray(list) ? list.join(',') : list
  if (text !== undefined) return text.split(',').map(bare)
  const { forwarded } = headers
  if (forwarded === undefined) return []
  return forwarded.split(',').map((hop) => bare(/(?:^|;)\s*for=("?)([^";,]+)\1/i.exec(hop)?.[2] ?? ''))
}

/** Without port, brackets and quotes. */
function bare(hop: string): string {
  const text = hop.trim()
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1]
  if (bracketed !== undefined) return bracketed
  return withoutMapping(/^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text)
}
