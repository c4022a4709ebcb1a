/** An upstream's own way out (proxy, authorities, client certificate), put together from its configuration and its secrets. */
import { hash } from 'node:crypto'
import type { Way } from './egress.ts'
import { badRequest } from './errors.ts'
import { NETWORK_SECRETS, type NetworkConfiguration, type Store } from './store.ts'

/** Throws `invalid_request` if a part is missing. */
export function wayOf(upstream: string, network: NetworkConfiguration, secrets: Store['secrets']): Way {
  const { ca, certificate: chain } = network
  const key = secrets.open(upstream, NETWORK_SECRETS.certificateKey)
  if (chain !== undefined && key === undefined) {
    throw badRequest(`upstream "${upstream}": network.certificate needs network.certificateKey`, 'network')
  }
  const proxy = proxyOf(network.proxy, secrets.open(upstream, NETWORK_SECRETS.proxyCredentials))
  const way = {
    ...(proxy === undefined ? {} : { proxy }),
    ...(ca === undefined ? {} : { ca }),
    ...(chain === undefined || key === undefined ? {} : { certificate: { chain, key } }),
  }
  return { id: hash('sha256', JSON.stringify(way), 'base64url'), ...way }
}

function proxyOf(address: string | undefined, credentials: string | undefined): string | undefined {
  if (address === undefined || address === 'direct' || credentials === undefined) return address
  const url = new URL(address)
  const colon = credentials.indexOf(':')
  url.username = encodeURIComponent(colon < 0 ? credentials : credentials.slice(0, colon))
  url.password = colon < 0 ? '' : encodeURIComponent(credentials.slice(colon + 1))
  return url.href
}
