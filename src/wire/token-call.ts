/**
 * Calls to the services that give out credentials: through the one egress, short, small, and with failures that name
 * the upstream whose credential it was to be and never what was sent.
 */
import { failure, GatewayError } from '../core/errors.ts'
import { TIMEOUTS } from '../core/exchange.ts'
import type { SignerParts } from '../core/signing.ts'

const PATIENCE_MS = 10_000
const MOST_BYTES = 256 * 1024
const TIMES = {
  ...TIMEOUTS,
  headersStreamedMs: PATIENCE_MS,
  headersUnstreamedMs: PATIENCE_MS,
  idleMs: PATIENCE_MS,
  totalMs: PATIENCE_MS,
}

export interface TokenCall {
  /** What is asked, for the error: `the instance's metadata service`. */
  readonly whom: string
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** A metadata address that this call is about. */
  readonly allowHost?: string
}
type Parts = Pick<SignerParts, 'upstream' | 'egress' | 'allowHosts' | 'way'>

/** No credential is to be had. Another target may have one. */
export const noCredential = (upstream: string, problem: string): GatewayError =>
  failure('upstream_credentials', { upstream, problem }, undefined, {
    message: 'There is no credential for upstream "{upstream}": {problem}.',
  })

/** The answer's text. Throws `upstream_credentials`. */
export async function askForToken(parts: Parts, call: TokenCall): Promise<string> {
  const { upstream } = parts
  const { status, text } = await askFor(parts, call)
  if (status < 200 || status > 299) throw noCredential(upstream, `${call.whom} answered ${status}${wordsOf(text)}`)
  return text
}

export async function askFor(
  { upstream, egress, allowHosts = [], way }: Parts,
  call: TokenCall,
): Promise<{ status: number; headers: Readonly<Record<string, string>>; text: string }> {
  try {
    const reply = await egress.send({
      upstream,
      method: call.method,
      url: call.url,
      headers: call.headers ?? {},
      ...(call.body === undefined ? {} : { body: Buffer.from(call.body) }),
      streamed: false,
      timeouts: TIMES,
      signal: new AbortController().signal,
      allowHosts: call.allowHost === undefined ? allowHosts : [...allowHosts, call.allowHost],
      ...(way === undefined ? {} : { way }),
    })
    const bytes = await reply.collect(MOST_BYTES)
    return { status: reply.status, headers: reply.headers, text: bytes.toString('utf8') }
  } catch (error) {
    const why = error instanceof GatewayError ? error.message : String(error)
    throw noCredential(upstream, `${call.whom} could not be asked (${why})`)
  }
}

/** The answer as an object; what is none is no credential either. */
export function objectFrom(upstream: string, whom: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Said below, without what it was.
  }
  throw noCredential(upstream, `${whom} gave an answer that is not JSON`)
}

/** The code and the words of an OAuth or AWS error, in short. They name the mistake; neither repeats a secret. */
function wordsOf(text: string): string {
  const found =
    /"error_description"\s*:\s*"([^"]{1,200})/.exec(text) ??
    /"(?:error|message)"\s*:\s*"([^"]{1,200})/i.exec(text) ??
    /<Message>([^<]{1,200})/.exec(text)
  return found?.[1] === undefined ? '' : `: ${found[1]}`
}
