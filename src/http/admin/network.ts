/** What an administrator says of an upstream's network, looked at before anything is kept. */
import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { badRequest } from '../../core/errors.ts'
import { NETWORK_SECRETS } from '../../core/store.ts'

export const networkSecrets: readonly string[] = Object.values(NETWORK_SECRETS)

interface Certificates {
  readonly ca?: string
  readonly certificate?: string
  readonly certificateKey?: string | undefined
}

/** Throws `invalid_request` for what is no certificate or key, and for a key of another certificate. */
export function checkCertificates({ ca, certificate, certificateKey }: Certificates): void {
  if (certificate !== undefined && certificateKey === undefined) {
    throw badRequest('network.certificate needs network.certificateKey.', 'network')
  }
  try {
    // TLS passes over an authority that it cannot read.
    for (const [one] of ca?.matchAll(/-----BEGIN [\s\S]*?-----END [A-Z ]+-----/g) ?? []) new X509Certificate(one)
    if (certificate !== undefined) createSecureContext({ cert: certificate, key: certificateKey })
  } catch (error) {
    // OpenSSL names what is wrong and repeats nothing of it.
    throw badRequest(`network: the certificates cannot be used (${(error as Error).message.slice(0, 200)}).`, 'network')
  }
}
