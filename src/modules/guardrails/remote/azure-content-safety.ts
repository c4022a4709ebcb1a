/**
 * Azure AI Content Safety (POST {resource}/contentsafety/text:analyze). It takes 10,000 characters at a time. The resource's
 * key is the module's secret that is named like the rule.
 */
import { type Static, Type } from 'typebox'
import { byAddress } from './settings.ts'
import { ALLOW, type Ask, objects, pieces, post } from './verdict.ts'

const CATEGORIES = ['Hate', 'SelfHarm', 'Sexual', 'Violence'] as const

export const azureContentSafety = Type.Object(
  {
    ...byAddress('azure-content-safety'),
    apiVersion: Type.String({ default: '2024-09-01', pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$' }),
    categories: Type.Array(Type.Union(CATEGORIES.map((name) => Type.Literal(name))), {
      default: [...CATEGORIES],
      minItems: 1,
    }),
    severity: Type.Integer({ default: 4, minimum: 1, maximum: 7, description: 'From which it fires.' }),
    blocklists: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { default: [], maxItems: 10 }),
  },
  { additionalProperties: false },
)

const LONGEST = 10_000
const MOST_PIECES = 50

export const askAzureContentSafety: Ask<Static<typeof azureContentSafety>> = async (rule, asked) => {
  const { id, url, apiVersion, categories, severity, blocklists, timeoutMs } = rule
  const key = asked.host.secretOf(id)
  if (key === undefined) throw new Error(`the rule ${id} has no secret`)
  const found = new Set<string>()
  for (const text of pieces(asked.texts, LONGEST, MOST_PIECES)) {
    const answer = await post('the content safety service', asked, {
      url: `${url.replace(/\/+$/, '')}/contentsafety/text:analyze?api-version=${apiVersion}`,
      headers: { 'ocp-apim-subscription-key': key },
      body: JSON.stringify({
        text,
        categories,
        outputType: severity % 2 === 0 ? 'FourSeverityLevels' : 'EightSeverityLevels',
        ...(blocklists.length > 0 ? { blocklistNames: blocklists, haltOnBlocklistHit: false } : {}),
      }),
      timeoutMs,
    })
    if (!Array.isArray(answer.categoriesAnalysis)) throw new Error('the content safety service gave no analysis')
    for (const { category, severity: level } of objects(answer.categoriesAnalysis)) {
      if (typeof level === 'number' && level >= severity) found.add(`${String(category)} ${level}`)
    }
    for (const { blocklistName } of objects(answer.blocklistsMatch)) found.add(`blocklist ${String(blocklistName)}`)
  }
  return found.size === 0 ? ALLOW : { verdict: 'fires', reason: [...found].sort().join(', ') }
}
