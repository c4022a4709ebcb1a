/**
 * Which addresses the gateway may call. Judged twice: the host as the URL names it (the URL parser has already turned
 * decimal, octal and hexadecimal spellings into plain addresses), and each address that its name resolves to, at the
 * moment a connection is made, so that a name cannot change its meaning in between.
 */
import dns from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'

/**
 * `administrator`: base URLs that an instance administrator set; loopback and private networks are fine, link-local,
 * metadata and meaningless addresses are not. `public`: nothing but the public internet.
 */
export type Audience = 'administrator' | 'public'

export type AddressKind = 'public' | 'loopback' | 'private' | 'link-local' | 'metadata' | 'reserved'

/** Bits of the prefix, then kind; the first that fits counts. */
type Range = readonly [prefix: string, bits: number, kind: AddressKind]

const IPV4: readonly Range[] = [
  ['169.254.0.0', 16, 'link-local'],
  ['127.0.0.0', 8, 'loopback'],
  ['10.0.0.0', 8, 'private'],
  ['172.16.0.0', 12, 'private'],
  ['192.168.0.0', 16, 'private'],
  ['100.100.100.200', 32, 'metadata'],
  ['168.63.129.16', 32, 'metadata'],
  ['192.0.0.192', 32, 'metadata'],
  ['100.64.0.0', 10, 'private'],
  ['0.0.0.0', 8, 'reserved'],
  ['192.0.0.0', 24, 'reserved'],
  ['192.0.2.0', 24, 'reserved'],
  ['192.88.99.0', 24, 'reserved'],
  ['198.18.0.0', 15, 'reserved'],
  ['198.51.100.0', 24, 'reserved'],
  ['203.0.113.0', 24, 'reserved'],
  ['224.0.0.0', 4, 'reserved'],
  ['240.0.0.0', 4, 'reserved'],
]

const IPV6: readonly Range[] = [
  ['::1', 128, 'loopback'],
  ['::', 128, 'reserved'],
  ['fe80::', 10, 'link-local'],
  ['fec0::', 10, 'reserved'],
  ['fd00:ec2::', 32, 'metadata'],
  ['fd20:ce::254', 128, 'metadata'],
  ['fc00::', 7, 'private'],
  ['2001::', 32, 'reserved'],
  ['2001:db8::', 32, 'reserved'],
  ['3fff::', 20, 'reserved'],
  ['100::', 64, 'reserved'],
  ['64:ff9b:1::', 48, 'reserved'],
  ['ff00::', 8, 'reserved'],
]

/** Where an IPv4 address is inside an IPv6 one: mapped, compatible, NAT64, 6to4. Offset of its first byte. */
const EMBEDDED: readonly (readonly [prefix: string, bits: number, at: number])[] = [
  ['::ffff:0:0', 96, 12],
  ['::ffff:0:0:0', 96, 12],
  ['64:ff9b::', 96, 12],
  ['2002::', 16, 2],
  ['::', 96, 12],
]

/** Names under which clouds serve credentials to whoever asks from inside. */
const METADATA_NAMES: ReadonlySet<string> = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'instance-data',
  'instance-data.ec2.internal',
  'metadata.azure.internal',
  'metadata.tencentyun.com',
  'metadata.packet.net',
  'metadata.platformequinix.com',
])

const compile = <T>(prefix: string, bits: number, last: T) => ({ bytes: bytesOf(prefix) ?? [], bits, last })
const IPV4_RANGES = IPV4.map(([prefix, bits, kind]) => compile(prefix, bits, kind))
const IPV6_RANGES = IPV6.map(([prefix, bits, kind]) => compile(prefix, bits, kind))
const EMBEDDED_RANGES = EMBEDDED.map(([prefix, bits, at]) => compile(prefix, bits, at))

/** `address` is in plain notation, as URL parsers and resolvers give it; a zone (`%eth0`) is ignored. */
export function kindOf(address: string): AddressKind {
  const bytes = bytesOf(address.replace(/%.*$/, ''))
  if (bytes === undefined) return 'reserved'
  return kindOfBytes(bytes)
}

function kindOfBytes(bytes: readonly number[]): AddressKind {
  if (bytes.length === 4) return IPV4_RANGES.find((range) => within(bytes, range))?.last ?? 'public'
  const own = IPV6_RANGES.find((range) => within(bytes, range))
  if (own) return own.last
  const embedded = EMBEDDED_RANGES.find((range) => within(bytes, range))
  if (embedded) return kindOfBytes(bytes.slice(embedded.last, embedded.last + 4))
  // Only 2000::/3 is given out; the rest means nothing yet.
  return ((bytes[0] ?? 0) & 0xe0) === 0x20 ? 'public' : 'reserved'
}

function within(
  bytes: readonly number[],
  range: { readonly bytes: readonly number[]; readonly bits: number },
): boolean {
  for (let bit = 0, i = 0; bit < range.bits; bit += 8, i++) {
    const mask = range.bits - bit >= 8 ? 0xff : (0xff << (8 - (range.bits - bit))) & 0xff
    if ((((bytes[i] ?? 0) ^ (range.bytes[i] ?? 0)) & mask) !== 0) return false
  }
  return true
}

function bytesOf(address: string): readonly number[] | undefined {
  const version = isIP(address)
  if (version === 4) return address.split('.').map(Number)
  if (version !== 6) return undefined
  const tail = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  const pair = (high: unknown, low: unknown): string => (Number(high) * 256 + Number(low)).toString(16)
  const text = tail ? `${tail[1]}${pair(tail[2], tail[3])}:${pair(tail[4], tail[5])}` : address
  const [head = '', rest] = text.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const before = groups(head)
  const after = rest === undefined ? [] : groups(rest)
  const zeros: string[] = rest === undefined ? [] : Array(8 - before.length - after.length).fill('0')
  return [...before, ...zeros, ...after].flatMap((group) => {
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}

/** Why a call is refused, as a sentence's middle: `its address 169.254.169.254 is link-local`. */
export class GuardError extends Error {
  override readonly name = 'GuardError'
}

export interface Guard {
  /** Judges a URL before anything is opened. Returns why not, or undefined. */
  refuses(url: URL): string | undefined
  /** Resolves a name and refuses it if any of its addresses is forbidden. In the form of `net.connect`'s option. */
  readonly lookup: LookupFunction
}

/**
 * `allowHosts` are names and addresses that an instance administrator let through. `resolve` is the system's resolver
 * unless a test brings its own.
 */
export function createGuard(
  audience: Audience,
  allowHosts: readonly string[] = [],
  resolve: typeof dns.lookup = dns.lookup,
): Guard {
  const allowed = new Set(allowHosts.map((host) => plainHost(host.toLowerCase())))
  const forbidden = (address: string): string | undefined => {
    const kind = kindOf(address)
    if (kind === 'public' || allowed.has(address)) return undefined
    if (audience === 'administrator' && (kind === 'loopback' || kind === 'private')) return undefined
    return `its address ${address} is ${kind === 'metadata' ? 'that of a metadata service' : kind}`
  }
  return {
    refuses(url) {
      if (url.protocol !== 'https:' && url.protocol !== 'http:') return `its URL has the scheme "${url.protocol}"`
      if (url.username !== '' || url.password !== '') return 'its URL has a user name or password in it'
      const host = plainHost(url.hostname)
      if (allowed.has(host)) return undefined
      if (isIP(host) !== 0) return forbidden(host)
      return METADATA_NAMES.has(host) ? `its host ${host} is that of a metadata service` : undefined
    },
    lookup(hostname, options, callback) {
      const host = plainHost(hostname.toLowerCase())
      resolve(hostname, { ...options, all: true }, (error, addresses) => {
        if (error) return callback(error, '', 0)
        const first = addresses[0]
        if (!first) return callback(new GuardError(`its host ${host} has no address`), '', 0)
        if (!allowed.has(host)) {
          for (const { address } of addresses) {
            const why = forbidden(address)
            if (why !== undefined) return callback(new GuardError(why), '', 0)
          }
        }
        if (options.all) callback(null, addresses)
        else callback(null, first.address, first.family)
      })
    },
  }
}

/** Without brackets, and without the dot that only says that a name is complete. */
function plainHost(host: string): string {
  if (host.startsWith('[')) return host.slice(1, -1)
  return host.length > 1 && host.endsWith('.') ? host.slice(0, -1) : host
}
