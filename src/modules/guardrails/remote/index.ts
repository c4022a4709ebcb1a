/** The checks that are made elsewhere: their settings, and how each is asked within its time, failing open or closed. */
import type { Static } from 'typebox'
import type { Rule } from '../settings.ts'
import { askAzureContentSafety, azureContentSafety } from './azure-content-safety.ts'
import { askBedrockGuardrails, bedrockGuardrails } from './bedrock-guardrails.ts'
import { askJudge, judge } from './judge.ts'
import { askLakera, lakera } from './lakera.ts'
import { askOpenaiModeration, openaiModeration } from './openai-moderation.ts'
import { ALLOW, type Ask, type Asked, type Verdict } from './verdict.ts'
import { askWebhook, webhook } from './webhook.ts'

export const REMOTE = [webhook, openaiModeration, azureContentSafety, bedrockGuardrails, lakera, judge] as const
export type RemoteRule = Static<(typeof REMOTE)[number]>

const ASKS: { readonly [T in RemoteRule['type']]: Ask<Extract<RemoteRule, { type: T }>> } = {
  webhook: askWebhook,
  'openai-moderation': askOpenaiModeration,
  'azure-content-safety': askAzureContentSafety,
  'bedrock-guardrails': askBedrockGuardrails,
  lakera: askLakera,
  judge: askJudge,
}

export const isRemote = (rule: Rule): rule is Rule & RemoteRule => Object.hasOwn(ASKS, rule.type)

/** The verdict, with the rule's own action where the checker leaves it to that. What cannot be redacted is blocked. */
export async function ask(rule: RemoteRule, asked: Asked): Promise<Verdict> {
  const { host, signal } = asked
  let said: Verdict
  try {
    said = await (ASKS[rule.type] as Ask<RemoteRule>)(rule, asked)
  } catch (error) {
    if (signal?.aborted || rule.fail === 'closed') throw error
    host.log.warn(`the guardrail ${rule.id} has no answer and fails open`, { error: String(error) })
    host.metrics.counter('stockyard_guardrails_failed_open_total', 'Checks without an answer that let pass.').add()
    return ALLOW
  }
  if (said.verdict === 'fires') return { ...said, verdict: rule.action === 'redact' ? 'block' : rule.action }
  // Masked texts are there to be used only where that is wanted.
  if (said.verdict === 'redact' && rule.type !== 'webhook' && rule.action !== 'redact') {
    return { verdict: rule.action, reason: said.reason ?? '' }
  }
  return said
}
