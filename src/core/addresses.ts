/** Lists of internet addresses and CIDR ranges: who may use a key from where, whose word about a caller's address counts. */
import { BlockList, isIP } from 'node:net'
import { badRequest } from './errors.ts'

export interface AddressList {
  has(address: string): boolean
}

/** Where IPv4 addresses stand among those of IPv6, however they are written. */
const MAPPED_RANGE = new BlockList()
MAPPED_RANGE.addSubnet('::ffff:0:0', 96, 'ipv6')

/** Throws `invalid_request` naming the entry that is no address, or that means more than it seems to. */
export function addressList(entries: readonly string[], where = 'ipRanges'): AddressList {
  const list = new BlockList()
  for (const entry of entries) {
    const [base = '', bits, more] = entry.split('/')
    const family = isIP(base)
    const widest = family === 4 ? 32 : 128
    const prefix = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : -1
    if (family === 0 || more !== undefined || prefix < 0 || prefix > widest) {
      throw badRequest(`${where}: "${entry}" is neither an address nor a range like 10.0.0.0/8.`, where)
    }
    // ::ffff:10.0.0.0/8 reads like 10.0.0.0/8 and covers nearly everything (T82).
    if (family === 6 && prefix < 96 && (base.includes('.') || MAPPED_RANGE.check(base, 'ipv6'))) {
      throw badRequest(
        `${where}: "${entry}" would cover far more than it seems to; write the IPv4 range itself.`,
        where,
      )
    }
    list.addSubnet(base, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  return {
    has(address) {
      const plain = withoutMapping(address)
      const family = isIP(plain)
      return family !== 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6')
    },
  }
}

/** An IPv4 peer of an IPv6 socket, as the IPv4 address that it is. */
export const withoutMapping = (address: string): string => (MAPPED.test(address) ? address.slice(7) : address)
const MAPPED = /^::ffff:\d+\.\d+\.\d+\.\d+$/i

/** Whoever has one address of IPv6 has the other 2^64 of its network, too: what is counted is counted for all of them. */
export function networkOf(address: string): string {
  const plain = withoutMapping(address)
  if (isIP(plain) !== 6) return plain
  const [head = '', tail] = (plain.split('%')[0] as string).split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail ? tail.split(':') : []
  const gap = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  const groups = [...left, ...Array<string>(gap).fill('0'), ...right].slice(0, 4)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
