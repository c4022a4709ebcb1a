/**
 * A guardrail of Amazon Bedrock (ApplyGuardrail), with the account of a configured upstream, which signs the call. What it
 * blocks fires; where it only masked, the masked texts can stand instead.
 */
import { type Static, Type } from 'typebox'
import { byAccount } from './settings.ts'
import { ALLOW, type Ask, objects, post } from './verdict.ts'

export const bedrockGuardrails = Type.Object(
  {
    ...byAccount('bedrock-guardrails'),
    guardrail: Type.String({ minLength: 1, maxLength: 2_048, description: 'Its id or ARN.' }),
    version: Type.String({ default: 'DRAFT', pattern: '^([1-9][0-9]{0,7}|DRAFT)$' }),
  },
  { additionalProperties: false },
)

export const askBedrockGuardrails: Ask<Static<typeof bedrockGuardrails>> = async (rule, asked) => {
  const texts = asked.texts.filter((text) => text !== '')
  if (texts.length === 0) return ALLOW
  const answer = await post('the guardrail', asked, {
    upstream: rule.upstream,
    url: `/guardrail/${encodeURIComponent(rule.guardrail)}/version/${rule.version}/apply`,
    body: JSON.stringify({
      source: asked.on === 'request' ? 'INPUT' : 'OUTPUT',
      content: texts.map((text) => ({ text: { text } })),
    }),
    timeoutMs: rule.timeoutMs,
  })
  if (answer.action === 'NONE') return ALLOW
  if (answer.action !== 'GUARDRAIL_INTERVENED') throw new Error('the guardrail answered with no action')
  const found = new Map<string, Set<string>>([
    ['BLOCKED', new Set()],
    ['ANONYMIZED', new Set()],
  ])
  for (const assessment of objects(answer.assessments)) {
    for (const policy of Object.values(assessment)) {
      for (const list of Object.values((policy as object | null) ?? {})) {
        for (const { action, type, name } of objects(list))
          found.get(String(action))?.add(String(name ?? type ?? 'word'))
      }
    }
  }
  const [blocked = [], masked = []] = [...found.values()].map((names) => [...names].sort())
  const outputs = objects(answer.outputs).map(({ text }) => text)
  if (blocked.length > 0 || masked.length === 0 || outputs.length !== texts.length) {
    return { verdict: 'fires', reason: [...blocked, ...masked].join(', ') || 'it intervened' }
  }
  let next = 0
  const others = asked.texts.map((text) => (text === '' ? text : String(outputs[next++])))
  return { verdict: 'redact', reason: masked.join(', '), texts: others }
}
