/**
 * What a failure of the transport means, in words an operator can act on. Nothing that an upstream sent is repeated.
 */
import { failure, type GatewayError } from '../core/errors.ts'
import { ProxyError } from './connector.ts'
import { GuardError } from './guard.ts'
import { HttpError } from './http1-reader.ts'

/** How far a call had come: nothing written, nothing answered, headers on their way, body on its way. */
export type Stage = 'connect' | 'headers' | 'answering' | 'body'

const CONNECT_PROBLEMS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the name {host} does not resolve',
  EAI_AGAIN: 'the name {host} cannot be resolved at the moment',
  ECONNREFUSED: 'nothing listens at {host}',
  ECONNRESET: '{host} reset the connection',
  EPIPE: '{host} closed the connection',
  ETIMEDOUT: '{host} does not answer',
  EHOSTUNREACH: 'there is no route to {host}',
  ENETUNREACH: 'there is no route to {host}',
  CERT_HAS_EXPIRED: 'the certificate of {host} has expired',
  CERT_NOT_YET_VALID: 'the certificate of {host} is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate of {host} is self-signed (NODE_EXTRA_CA_CERTS makes it known)',
  SELF_SIGNED_CERT_IN_CHAIN: 'the authority of {host} is not known here (NODE_EXTRA_CA_CERTS makes it known)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the authority of {host} is not known here (NODE_EXTRA_CA_CERTS makes it known)',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the authority of {host} is not known here (NODE_EXTRA_CA_CERTS makes it known)',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate of {host} is for another name',
}

const codeOf = (error: unknown): string => {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/** The connection went away, in one of the ways in which connections do. */
export function isDisconnect(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'HTTP_INCOMPLETE' || code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNABORTED'
}

export function transportFailure(error: Error, stage: Stage, upstream: string, host: string): GatewayError {
  const unreachable = (problem: string, patch?: { retry: 'elsewhere' }): GatewayError =>
    failure('upstream_unreachable', { upstream, problem }, undefined, patch)
  const code = codeOf(error)
  // A forbidden address, an unusable header: trying the same again cannot mend it.
  if (error instanceof GuardError) return unreachable(error.message, { retry: 'elsewhere' })
  if (code === 'HTTP_REQUEST') {
    return unreachable(`the request cannot be written: ${error.message}`, { retry: 'elsewhere' })
  }
  if (error instanceof ProxyError) return unreachable(error.message)
  if (error instanceof HttpError && code !== 'HTTP_INCOMPLETE') {
    return failure('upstream_invalid', { upstream, problem: error.message })
  }
  if (stage === 'connect') {
    const known = CONNECT_PROBLEMS[code]
    if (known !== undefined) return unreachable(known.replace('{host}', host))
    return unreachable(`the connection to ${host} failed${code === '' ? '' : ` (${code})`}`)
  }
  if (stage === 'headers') return unreachable(`${host} closed the connection without an answer`)
  return failure('upstream_incomplete', { upstream })
}
