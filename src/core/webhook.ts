/** Signing of webhooks as Standard Webhooks has it: id, time and body under HMAC-SHA256. */
import { createHmac } from 'node:crypto'

/** `whsec_` and base64; any other text is taken as the key itself. */
function keyOf(secret: string): Buffer {
  return secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret)
}

/** `at` is milliseconds since 1970. The id stays the same when a delivery is tried again. */
export function webhookHeaders(id: string, at: number, body: string, secret: string): Record<string, string> {
  const timestamp = String(Math.floor(at / 1_000))
  const signature = createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.${body}`).digest('base64')
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signature}`,
  }
}
