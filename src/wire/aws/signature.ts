/** AWS Signature Version 4 over one call, by AWS's own signer; only the hash is lent by us (Node's). */
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'
import type { Unsigned } from '../../core/signing.ts'

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export interface AwsScope {
  readonly region: string
  /** Its name in signatures, e.g. `bedrock`. */
  readonly service: string
}

type Bytes = string | ArrayBuffer | ArrayBufferView
const bytesOf = (data: Bytes): string | Uint8Array =>
  typeof data === 'string'
    ? data
    : ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data)

class Sha256 {
  #hash: Hash | Hmac
  readonly #key: Bytes | undefined
  constructor(key?: Bytes) {
    this.#key = key
    this.#hash = this.#begun()
  }
  #begun(): Hash | Hmac {
    return this.#key === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(this.#key))
  }
  update(data: Bytes): void {
    this.#hash.update(bytesOf(data))
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#hash.digest()))
  }
  reset(): void {
    this.#hash = this.#begun()
  }
}

/** What a signature does not cover: set or changed on the way, or not ours to promise. */
const UNSIGNED = new Set(['user-agent', 'traceparent', 'tracestate', 'accept'])

/** The headers to set over the call's own. `now` is milliseconds since 1970. */
export async function awsSignature(
  call: Unsigned,
  credentials: AwsCredentials,
  { region, service }: AwsScope,
  now: number,
): Promise<Record<string, string>> {
  const url = new URL(call.url)
  const covered = Object.entries(call.headers).filter(([name]) => !UNSIGNED.has(name))
  // Loaded with the first call that is signed so.
  const { SignatureV4 } = await import('@smithy/signature-v4')
  const signer = new SignatureV4({ credentials, region, service, sha256: Sha256, applyChecksum: false })
  const query: Record<string, string | string[]> = {}
  for (const name of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(name)
    query[name] = values.length === 1 ? (values[0] as string) : values
  }
  const signed = await signer.sign(
    {
      method: call.method,
      protocol: url.protocol,
      hostname: url.hostname,
      path: url.pathname,
      query,
      headers: { ...Object.fromEntries(covered), host: url.host },
      body: call.body.length === 1 ? call.body[0] : Buffer.concat(call.body),
    },
    { signingDate: new Date(now) },
  )
  const set: Record<string, string> = {}
  for (const name of ['authorization', 'x-amz-date', 'x-amz-security-token']) {
    const value = signed.headers[name]
    if (value !== undefined) set[name] = value
  }
  return set
}
