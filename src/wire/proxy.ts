/**
 * Which proxy a call goes through, by the variables that every HTTP client knows: HTTPS_PROXY, HTTP_PROXY, NO_PROXY,
 * in capitals or not (small letters win). Loopback is never proxied.
 */
import { BlockList, isIP } from 'node:net'

type Environment = Readonly<Record<string, string | undefined>>

/** Reads the variables once. Throws if a proxy's address cannot be used, without repeating its password. */
export function proxiesOf(environment: Environment): (url: URL) => URL | undefined {
  const read = (name: string): string | undefined => environment[name.toLowerCase()] ?? environment[name]
  const proxyFor = (name: string): URL | undefined => {
    const value = read(name)?.trim()
    if (!value) return undefined
    const text = value.includes('://') ? value : `http://${value}`
    const proxy = URL.canParse(text) ? new URL(text) : undefined
    if (proxy?.protocol !== 'http:' && proxy?.protocol !== 'https:') {
      throw new Error(`${name} must be the http:// or https:// address of a proxy.`)
    }
    return proxy
  }
  const secure = proxyFor('HTTPS_PROXY')
  const plain = proxyFor('HTTP_PROXY')
  if (!secure && !plain) return () => undefined
  const exempt = exemptions(read('NO_PROXY') ?? '')
  return (url) => {
    const proxy = url.protocol === 'https:' ? secure : plain
    return proxy === undefined || exempt(url) ? undefined : proxy
  }
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8)
LOOPBACK.addAddress('::1', 'ipv6')

/** `example.com` and `.example.com` mean the domain and what is below it, `*.example.com` only what is below. */
function exemptions(list: string): (url: URL) => boolean {
  const subnets = new BlockList()
  const names: { readonly host: string; readonly port: string; readonly below: boolean }[] = []
  for (const entry of list.toLowerCase().split(/[\s,]+/)) {
    if (entry === '') continue
    const [, address, bits] = /^\[?([\d.a-f:]+)\]?\/(\d{1,3})$/.exec(entry) ?? []
    if (address !== undefined && isIP(address) !== 0) {
      subnets.addSubnet(address, Number(bits), isIP(address) === 6 ? 'ipv6' : 'ipv4')
      continue
    }
    const [, host = entry, port = ''] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? []
    const plain = host.replace(/^\[|\]$/g, '')
    names.push({ host: plain === '*' ? '*' : plain.replace(/^\*?\.|\.$/g, ''), port, below: plain.startsWith('*.') })
  }
  return (url) => {
    const host = url.hostname.replace(/^\[|\]$|\.$/g, '')
    const version = isIP(host)
    if (host === 'localhost' || host.endsWith('.localhost')) return true
    if (version !== 0) {
      const family = version === 6 ? 'ipv6' : 'ipv4'
      if (LOOPBACK.check(host, family) || subnets.check(host, family)) return true
    }
    const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
    return names.some((name) => {
      if (name.port !== '' && name.port !== port) return false
      return name.host === '*' || (!name.below && host === name.host) || host.endsWith(`.${name.host}`)
    })
  }
}

/** The header that carries the user name and password of a proxy's address. */
export function proxyAuthorization(proxy: URL): string | undefined {
  if (proxy.username === '' && proxy.password === '') return undefined
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
  return `Basic ${Buffer.from(pair).toString('base64')}`
}
