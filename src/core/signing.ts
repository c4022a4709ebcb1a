/**
 * Signing that needs more than a key: over the whole call, or with a credential that is fetched and expires. Vendors
 * without it have a plain `sign` in their definition and pay nothing for this.
 */
import type { Egress, Way } from './egress.ts'
import type { Method } from './relay.ts'
import type { JsonObject } from './request.ts'

/** A call as it would go out. Its headers are in lower case. */
export interface Unsigned {
  readonly method: Method
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: readonly Buffer[]
}

export interface Signed {
  /** Set over the headers of the call. */
  readonly headers: Readonly<Record<string, string>>
  /** What signed it, by identity: tells `refused` whether another credential has come meanwhile. */
  readonly credential?: object
  /** What must never be echoed into an error. */
  readonly secrets?: readonly string[]
}

/** Signs the calls of one upstream, and lives as long as nothing that it was made of changes. */
export interface Signer {
  /**
   * A plain value while a valid credential is at hand; a promise only while one is fetched, once for all who wait.
   * Throws `upstream_credentials` if there is none to be had. `secret` is the configured credential, if there is one.
   */
  sign(call: Unsigned, secret: string | undefined): Signed | Promise<Signed>
  /** The vendor refused this credential. True if it makes sense to sign and send once more. */
  refused?(credential: object): boolean
}

/** An upstream as its signer sees it, and what the host lends: no signer reaches outside by other ways. */
export interface SignerParts {
  readonly upstream: string
  readonly baseUrl: string
  /** As the provider's schema left them. */
  readonly options: JsonObject
  readonly allowHosts?: readonly string[]
  readonly way?: Way
  readonly egress: Egress
  /** A variable of the process. Only what an administrator's option asks for by name or by kind. */
  variable(name: string): string | undefined
  /** A file's text, read anew each time: mounted tokens are replaced while we run. */
  file(path: string): Promise<string>
  now(): number
}
