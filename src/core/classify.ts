/**
 * What an upstream's error means: ours to retry here, elsewhere, or the client's own mistake. General rules by status
 * and by the words most vendors share; a provider's own `classify` goes first. A75: money and credentials are our
 * trouble, not the client's; a true client error is never retried.
 */
import type { UpstreamComplaint } from './dialect.ts'
import { ERRORS, type ErrorCode, type ErrorDetails, failure, type GatewayError } from './errors.ts'
import type { Target } from './exchange.ts'

export function classify(status: number, complaint: UpstreamComplaint): ErrorCode {
  const words = `${complaint.code ?? ''} ${complaint.type ?? ''} ${complaint.message ?? ''}`.toLowerCase()
  if (/insufficient_quota|billing|credit balance|exceeded your current quota|payment required/.test(words)) {
    return 'upstream_quota'
  }
  if (status === 403) {
    // What is asked for is forbidden, and nothing is wrong with the key: else any caller could take it out for all others.
    if (NOT_THIS_MODEL.test(words)) return 'upstream_model_missing'
    if (FILTERED.test(words) && !/account|organi[sz]ation|api key/.test(words)) return 'upstream_rejected'
  }
  switch (status) {
    case 401:
    case 403:
      return 'upstream_credentials'
    case 402:
      return 'upstream_quota'
    case 404:
      return 'upstream_model_missing'
    case 408:
      return 'upstream_timeout'
    // Too early: to be sent again, and nothing that the client could mend.
    case 425:
      return 'upstream_error'
    case 429:
      return 'upstream_rate_limited'
    case 503:
    case 529:
      return 'upstream_overloaded'
  }
  if (/model_not_found|model_not_available|decommissioned/.test(words)) return 'upstream_model_missing'
  if (/overloaded/.test(words)) return 'upstream_overloaded'
  // A redirect is not followed, and asking again would only be redirected again.
  if (status >= 300 && status < 400) return 'upstream_misdirected'
  return status >= 500 || status < 300 ? 'upstream_error' : 'upstream_rejected'
}

const NOT_THIS_MODEL =
  /model_not_found|model_permission|(?:no|not have|lacks?|without) (?:access|permission).{0,40}\bmodel|\bmodel\b.{0,80}(?:access denied|not allowed|is blocked|not have access)/
const TOO_LONG =
  /context_length_exceeded|context[ _]length|context window|maximum context|(?:prompt|input|request) (?:is|was) too long|too many (?:input )?tokens|token count.{0,40}exceeds|must be <= \d+ tokens|exceeds? the (?:maximum|max|model'?s).{0,40}tokens/
const FILTERED =
  /content_filter|content_policy|content policy|content management policy|responsible ?ai|safety_check|usage guidelines|flagged|moderation|datainspection|safety (?:filter|system)/

/** A rejection that another model, or an administrator's choice, might answer differently. Everything else is final. */
function refined(code: ErrorCode, { code: own, type, message }: UpstreamComplaint): ErrorCode {
  if (code !== 'upstream_rejected') return code
  const words = `${own ?? ''} ${type ?? ''} ${message ?? ''}`.toLowerCase()
  if (FILTERED.test(words)) return 'upstream_content_filtered'
  return TOO_LONG.test(words) ? 'upstream_context_too_long' : code
}

const REJECTIONS: ReadonlySet<ErrorCode> = new Set([
  'upstream_rejected',
  'upstream_context_too_long',
  'upstream_content_filtered',
])
const PASSED_STATUS = new Set([400, 404, 409, 413, 415, 422, 424, 451])

/** The error a client sees. `secrets` are the credentials that must not be echoed (some vendors repeat the key). */
export function upstreamError(
  target: Target,
  status: number,
  complaint: UpstreamComplaint,
  details: ErrorDetails,
  secrets: readonly string[],
): GatewayError {
  const judged = target.upstream.provider.classify?.(status, complaint) ?? classify(status, complaint)
  // Where no model was asked for, what is missing is what the request named.
  const isNamed = judged === 'upstream_model_missing' && target.model === ''
  // A model has nothing that a request could be in conflict with: it is the vendor's own, and passes.
  const isPassing = status === 409 && judged === 'upstream_rejected' && target.model !== ''
  const code = isPassing ? 'upstream_error' : refined(isNamed ? 'upstream_rejected' : judged, complaint)
  const message = complaint.message === undefined ? undefined : redact(complaint.message, secrets).slice(0, 2_000)
  const kind = ERRORS[code]
  const patch =
    REJECTIONS.has(code) && PASSED_STATUS.has(status)
      ? { status, ...(message ? { message } : {}) }
      : code === 'upstream_error' && status >= 500 && status !== 501
        ? { status: status === 500 ? 500 : kind.status }
        : undefined
  return failure(
    code,
    {
      upstream: target.upstream.id,
      model: target.model,
      problem: message ? `status ${status}: ${message}` : `status ${status}`,
      what: 'answer',
      upstreamStatus: status,
      ...(complaint.code === undefined ? {} : { upstreamCode: redact(String(complaint.code), secrets).slice(0, 200) }),
      ...(complaint.param === undefined ? {} : { param: redact(String(complaint.param), secrets).slice(0, 200) }),
      ...(message === undefined ? {} : { upstreamMessage: message }),
      ...details,
    },
    undefined,
    patch,
  )
}

/** Vendors repeat keys whole or cut in the middle (`sk-ab…yz`), so anything key-shaped goes as well. */
export function redact(text: string, secrets: readonly string[]): string {
  let clean = text
  for (const secret of secrets) if (secret.length >= 4) clean = clean.replaceAll(secret, '[credential]')
  return clean.replace(/\b(?:sk|gsk|xai|pplx|key|AIza)[-_A-Za-z0-9*.]{8,}/g, '[credential]')
}
