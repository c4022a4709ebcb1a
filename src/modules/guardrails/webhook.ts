/**
 * Asks an administrator's own service. The call is signed as many webhooks are: `x-stockyard-signature: t=<seconds>,v1=<hex>`
 * is the HMAC-SHA256 of `<seconds>.<body>` under the module's secret `webhook`.
 */
import { createHmac } from 'node:crypto'
import type { Exchange } from '../../core/exchange.ts'
import type { Host } from '../../core/module.ts'
import type { Rule } from './settings.ts'

export interface Verdict {
  readonly verdict: 'allow' | 'block' | 'redact' | 'flag'
  readonly reason?: string
  /** For `redact`: as many texts as were sent. */
  readonly texts?: readonly string[]
}
type Webhook = Extract<Rule, { type: 'webhook' }>

const MOST_BYTES = 32 * 1024 * 1024

export async function ask(
  host: Host,
  rule: Webhook,
  x: Exchange,
  on: 'request' | 'reply',
  texts: readonly string[],
): Promise<Verdict> {
  const seconds = Math.floor(host.now() / 1_000)
  const body = JSON.stringify({
    rule: rule.id,
    on,
    requestId: x.id,
    model: x.model,
    principal: x.principal?.id ?? null,
    texts,
  })
  const secret = host.secretOf('webhook') ?? host.secret('webhook')
  const signature = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')
  try {
    const answer = await host.call({
      method: 'POST',
      url: rule.url,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'x-stockyard-signature': `t=${seconds},v1=${signature}`,
      },
      body: Buffer.from(body),
      timeoutMs: rule.timeoutMs,
      maxAnswerBytes: MOST_BYTES,
      signal: x.signal,
    })
    if (answer.status !== 200) throw new Error(`the webhook of ${rule.id} answered ${answer.status}`)
    return verdictIn(JSON.parse(answer.body.toString('utf8')), texts.length)
  } catch (error) {
    if (x.signal.aborted || rule.fail === 'closed') throw error
    host.log.warn(`the webhook of ${rule.id} did not answer; it fails open`, { error: String(error) })
    return { verdict: 'allow' }
  }
}

function verdictIn(answer: unknown, count: number): Verdict {
  const { verdict, reason, texts } = (answer ?? {}) as { verdict?: unknown; reason?: unknown; texts?: unknown }
  const why = typeof reason === 'string' ? { reason: reason.slice(0, 500) } : {}
  if (verdict === 'allow' || verdict === 'block' || verdict === 'flag') return { verdict, ...why }
  if (
    verdict === 'redact' &&
    Array.isArray(texts) &&
    texts.length === count &&
    texts.every((t) => typeof t === 'string')
  ) {
    return { verdict, texts: texts as string[], ...why }
  }
  throw new Error('the webhook answered with no verdict')
}
