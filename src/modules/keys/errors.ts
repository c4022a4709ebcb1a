/** Why a key is refused: each reason has a code of its own and says what to do. None is mended by trying again. */
import type { ErrorKind } from '../../core/errors.ts'

const refusal = (status: 401 | 403, message: string): ErrorKind => ({
  status,
  message,
  blame: 'client',
  retry: 'never',
  final: true,
})

export const errors = {
  key_required: refusal(
    401,
    'No key was sent. Send one that this gateway issued as "Authorization: Bearer sk-sy-…", or where your SDK puts its API key.',
  ),
  key_malformed: refusal(401, 'What was sent is not a key of this gateway: {problem}.'),
  key_unknown: refusal(
    401,
    'The key looks right, but this gateway has none like it: it was deleted, or issued by another gateway. Ask for a new one.',
  ),
  key_replaced: refusal(401, 'Key {key} was rotated, and its former secret ended at {at}. Use the new one.'),
  key_expired: refusal(401, 'Key {key} expired at {at}. Ask for a new one, or for a later end.'),
  key_blocked: refusal(401, 'Key {key} may not be used: {what} is blocked. Ask whoever administers it.'),
  token_invalid: refusal(
    401,
    'The signed token that was sent is not accepted: {problem}. Get a new one from your identity provider.',
  ),
  token_expired: refusal(401, 'The signed token that was sent has expired. Get a new one from your identity provider.'),
  token_place_unknown: refusal(
    403,
    'The signed token names {what}, which does not exist here. Ask an administrator to make it, or to map the claim.',
  ),
  key_address_not_allowed: refusal(403, 'Key {key} may not be used from {address}.'),
  key_endpoint_not_allowed: refusal(403, 'Key {key} may not use the endpoint "{endpoint}".'),
  key_model_not_allowed: refusal(
    403,
    'Key {key} may not use the model "{model}". GET /v1/models lists the models that it may use.',
  ),
  key_upstream_not_allowed: refusal(403, 'Key {key} may use none of the upstreams that serve "{model}": {upstreams}.'),
} as const satisfies Record<string, ErrorKind>
