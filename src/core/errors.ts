/**
 * One catalogue of everything the gateway itself can answer with, and the two ways a module can say no:
 * a Refusal is a decision and always honoured; any other throw is a fault and obeys the module's fault mode.
 * Dialects turn these into their own shape; docs/errors.md is generated from the catalogue.
 */

import type { Scarce } from './module.ts'
import type { JsonObject } from './request.ts'

/** Whose mistake it is, so that the message can say what to do next. */
export type Blame = 'client' | 'gateway' | 'upstream'

/**
 * What a retry may hope for: `never` (the request itself is wrong), `same` (this target again, a little later),
 * `elsewhere` (another target at once).
 */
export type Retry = 'never' | 'same' | 'elsewhere'

export interface ErrorKind {
  readonly status: number
  /** What happened and what to do next. `{name}` is filled from the details. */
  readonly message: string
  readonly blame: Blame
  readonly retry: Retry
  /** A refusal that waiting a minute does not mend: SDKs are told not to try again. */
  readonly final?: boolean
  /** The words that client libraries react to, where they are not made from status and code. */
  readonly says?: { readonly type: string; readonly code: string }
}

const kind = (status: number, blame: Blame, retry: Retry, message: string, final?: true): ErrorKind =>
  final ? { status, blame, retry, message, final } : { status, blame, retry, message }

export const ERRORS = {
  invalid_json: kind(400, 'client', 'never', 'The request body is not valid JSON: {problem}.'),
  invalid_request: kind(400, 'client', 'never', '{problem}'),
  unsupported_parameter: kind(400, 'client', 'never', 'This route cannot carry {what}, and its policy is to reject.'),
  unsupported_content: kind(
    400,
    'client',
    'elsewhere',
    'Upstream "{upstream}" cannot be given {what}; send the content in another way, or choose another model.',
  ),
  sealed_elsewhere: kind(
    400,
    'client',
    'elsewhere',
    'The request brings back what another account has sealed, and upstream "{upstream}" cannot read it. Leave those items out, or ask for a model of the upstream that made them.',
  ),
  authentication_required: kind(
    401,
    'client',
    'never',
    'This gateway needs a key. Send the proxy key (or a key it issued) as "Authorization: Bearer …".',
    true,
  ),
  invalid_api_key: kind(401, 'client', 'never', 'The key that was sent is not known here: {problem}.', true),
  sign_in_failed: kind(401, 'client', 'never', 'The e-mail address or the password is wrong.', true),
  sign_in_delayed: kind(429, 'client', 'same', 'Too many failed attempts to sign in; try again in {seconds} s.'),
  signed_out: kind(401, 'client', 'never', 'The session has ended; sign in again.', true),
  revoked: kind(401, 'client', 'never', 'The key was taken back while the request was running.', true),
  permission_denied: kind(403, 'client', 'never', '{problem}', true),
  not_found: kind(404, 'client', 'never', 'There is no {what} here.'),
  model_not_found: kind(404, 'client', 'never', 'No model "{model}" is configured.{nearest}'),
  method_not_allowed: kind(405, 'client', 'never', '{method} is not allowed on {path}; use {allowed}.'),
  conflict: kind(409, 'client', 'never', '{problem}'),
  precondition_failed: kind(412, 'client', 'never', 'It was changed meanwhile: revision {current}, not {sent}.'),
  request_too_large: kind(413, 'client', 'never', 'The request body exceeds the limit of {limit} bytes.'),
  unsupported_media_type: kind(415, 'client', 'never', 'Content type "{sent}" is not accepted here; send {wanted}.'),
  client_closed: kind(499, 'client', 'never', 'The client closed the request.'),
  upgrade_refused: kind(
    426,
    'client',
    'never',
    'This gateway does not take WebSockets on {path}; send the request over plain HTTP, streamed as server-sent events.',
  ),
  superseded: kind(499, 'gateway', 'never', 'Another target answered sooner.'),
  internal_error: kind(500, 'gateway', 'never', 'The gateway failed in an unexpected way; see its log for {id}.'),
  upstream_error: kind(502, 'upstream', 'same', 'Upstream "{upstream}" answered with {problem}.'),
  upstream_unreachable: kind(502, 'upstream', 'same', 'Upstream "{upstream}" could not be reached: {problem}.'),
  upstream_invalid: kind(502, 'upstream', 'same', 'Upstream "{upstream}" sent something that is no answer: {problem}.'),
  upstream_misdirected: kind(
    502,
    'upstream',
    'elsewhere',
    'Upstream "{upstream}" redirects elsewhere; set its base URL to where it really is.',
  ),
  upstream_incomplete: kind(502, 'upstream', 'same', 'Upstream "{upstream}" ended its answer before it was complete.'),
  upstream_credentials: kind(502, 'upstream', 'elsewhere', 'Upstream "{upstream}" refused the configured credential.'),
  upstream_quota: kind(429, 'upstream', 'elsewhere', 'The account at upstream "{upstream}" has no quota left.'),
  upstream_rate_limited: kind(429, 'upstream', 'same', 'Upstream "{upstream}" is rate limiting this account.'),
  upstream_overloaded: kind(503, 'upstream', 'elsewhere', 'Upstream "{upstream}" is overloaded.'),
  upstream_model_missing: kind(404, 'upstream', 'elsewhere', 'Upstream "{upstream}" has no model "{model}".'),
  upstream_context_too_long: kind(400, 'client', 'never', 'The request is too long for model "{model}".'),
  upstream_content_filtered: kind(
    400,
    'client',
    'never',
    'Upstream "{upstream}" refused the request because of its content.',
  ),
  upstream_rejected: kind(400, 'client', 'never', 'Upstream "{upstream}" rejected the request.'),
  upstream_timeout: kind(504, 'upstream', 'elsewhere', 'Upstream "{upstream}": no {what} within {timeoutMs} ms.'),
  targets_resting: kind(503, 'gateway', 'same', 'Nobody can take this request at the moment: {problem}.'),
  no_target: kind(503, 'gateway', 'never', 'No upstream can take this request: {problem}.'),
  module_unavailable: kind(503, 'gateway', 'same', 'The module "{module}" failed and is set to fail closed.'),
  module_disabled: kind(404, 'client', 'never', 'The module "{module}" is switched off.'),
  storage_full: kind(503, 'gateway', 'same', 'The disk is full, so the ledger cannot be written. Free some space.'),
  storage_unavailable: kind(503, 'gateway', 'same', 'The ledger cannot be written at the moment: {problem}.'),
  shutting_down: kind(503, 'gateway', 'same', 'The gateway is shutting down.'),
} as const satisfies Record<string, ErrorKind>
export type ErrorCode = keyof typeof ERRORS

export interface ErrorDetails {
  /** Where in the request the mistake is, e.g. `messages[0].role`. */
  readonly param?: string
  /** When to try again, as told by whoever refused. */
  readonly retryAfterMs?: number
  /** The upstream's own error code and text, already stripped of credentials. */
  readonly upstreamCode?: string
  readonly upstreamMessage?: string
  /** What there was not enough of, if it comes back. */
  readonly scarce?: Scarce
  /** What stands beside the message for programs to read. */
  readonly facts?: JsonObject
  /** Headers of the upstream's answer that clients understand (rate limits, request id). */
  readonly headers?: Readonly<Record<string, string>>
  readonly [name: string]: unknown
}

export class GatewayError extends Error {
  readonly code: string
  readonly kind: ErrorKind
  readonly details: ErrorDetails
  constructor(code: string, kind: ErrorKind, details: ErrorDetails = {}, cause?: unknown) {
    super(fill(kind.message, details), cause === undefined ? undefined : { cause })
    this.name = 'GatewayError'
    this.code = code
    this.kind = kind
    this.details = details
  }
}

/** A decision. Always honoured, whatever the module's fault mode is. */
export class Refusal extends GatewayError {
  /** The id of the module that decided; empty for core. */
  readonly by: string
  constructor(by: string, code: string, kind: ErrorKind, details: ErrorDetails = {}) {
    super(code, kind, details)
    this.name = 'Refusal'
    this.by = by
  }
}

/** An error of the core catalogue. `kindPatch` refines status or retry where the upstream said more. */
export function failure(code: ErrorCode, details: ErrorDetails = {}, cause?: unknown, kindPatch?: Partial<ErrorKind>) {
  return new GatewayError(code, kindPatch ? { ...ERRORS[code], ...kindPatch } : ERRORS[code], details, cause)
}

/** Why an exchange was given up from outside: the abort's own reason, or else its client left. */
export const leftBy = (signal: AbortSignal): GatewayError =>
  signal.reason instanceof GatewayError ? signal.reason : failure('client_closed')

/** A mistake in the client's request, naming the place. */
export const badRequest = (problem: string, param?: string): GatewayError =>
  failure('invalid_request', param === undefined ? { problem } : { problem, param })

function fill(template: string, details: ErrorDetails): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? ''))
}
