/**
 * Asks an administrator's own service. The call is signed as many webhooks are: `x-stockyard-signature: t=<seconds>,v1=<hex>`
 * is the HMAC-SHA256 of `<seconds>.<body>` under the module's secret `webhook`.
 */
import { createHmac } from 'node:crypto'
import { type Static, Type } from 'typebox'
import { byAddress } from './settings.ts'
import { type Ask, post, type Verdict } from './verdict.ts'

export const webhook = Type.Object(byAddress('webhook'), { additionalProperties: false })

export const askWebhook: Ask<Static<typeof webhook>> = async (rule, asked) => {
  const { host, x, on, texts } = asked
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
  const headers = { 'x-stockyard-signature': `t=${seconds},v1=${signature}` }
  const { url, timeoutMs } = rule
  return verdictIn(await post(`the webhook of ${rule.id}`, asked, { url, headers, body, timeoutMs }), texts.length)
}

function verdictIn({ verdict, reason, texts }: Record<string, unknown>, count: number): Verdict {
  const why = { reason: typeof reason === 'string' ? reason.slice(0, 500) : 'as the webhook says' }
  if (verdict === 'allow' || verdict === 'block' || verdict === 'flag') return { verdict, ...why }
  if (
    verdict === 'redact' &&
    Array.isArray(texts) &&
    texts.length === count &&
    texts.every((t) => typeof t === 'string')
  )
    return { verdict, texts: texts as string[], ...why }
  throw new Error('the webhook answered with no verdict')
}
