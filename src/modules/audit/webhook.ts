/** A webhook that takes checkpoints. Signed in the manner of Standard Webhooks where a secret is set. */
import { createHmac } from 'node:crypto'
import type { Host } from '../../core/module.ts'
import { ANCHOR_MS, type Anchor } from './anchor.ts'
import type { AnchorSettings } from './settings.ts'

export function webhookAnchor(host: Host, { url, secret }: Extract<AnchorSettings, { kind: 'webhook' }>): Anchor {
  return {
    name: url,
    async publish({ id, at, size, note }) {
      const body = JSON.stringify({ type: 'audit.checkpoint', at: new Date(at).toISOString(), size, checkpoint: note })
      const messageId = `checkpoint-${id}`
      const time = String(Math.floor(host.now() / 1_000))
      const key = secret === undefined ? undefined : host.secretOf(secret)
      if (secret !== undefined && key === undefined) throw new Error(`the secret "${secret}" is not set`)
      const answer = await host.call({
        url,
        headers: {
          'content-type': 'application/json',
          'webhook-id': messageId,
          'webhook-timestamp': time,
          ...(key === undefined ? {} : { 'webhook-signature': signature(key, `${messageId}.${time}.${body}`) }),
        },
        body: Buffer.from(body),
        timeoutMs: ANCHOR_MS,
        maxAnswerBytes: 65_536,
      })
      if (answer.status >= 300) throw new Error(`it answered ${answer.status}`)
    },
  }
}

/** A secret that begins with `whsec_` is base64, any other is taken as it is. */
function signature(secret: string, text: string): string {
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret)
  return `v1,${createHmac('sha256', key).update(text).digest('base64')}`
}
