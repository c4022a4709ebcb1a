/**
 * OpenAI's moderation endpoint (POST /v1/moderations), asked with the account of a configured upstream. Fires where a text is
 * flagged, or where a category's score reaches a threshold of one's own.
 */
import { type Static, Type } from 'typebox'
import { byAccount } from './settings.ts'
import { ALLOW, type Ask, objects, pieces, post } from './verdict.ts'

export const openaiModeration = Type.Object(
  {
    ...byAccount('openai-moderation'),
    model: Type.String({ default: 'omni-moderation-latest', minLength: 1, maxLength: 100 }),
    thresholds: Type.Record(Type.String(), Type.Number({ minimum: 0, maximum: 1 }), {
      default: {},
      description:
        'Scores by category from which it fires. With any set, what the vendor flags by itself does not count.',
    }),
  },
  { additionalProperties: false },
)

const LONGEST = 20_000
const MOST_TEXTS = 32

export const askOpenaiModeration: Ask<Static<typeof openaiModeration>> = async (rule, asked) => {
  const { model, upstream, timeoutMs, thresholds } = rule
  const input = pieces(asked.texts, LONGEST, MOST_TEXTS)
  if (input.length === 0) return ALLOW
  const body = JSON.stringify({ model, input })
  const answer = await post('the moderation', asked, { upstream, url: '/moderations', body, timeoutMs })
  const results = objects(answer.results)
  if (results.length !== input.length) throw new Error('the moderation did not judge every text')
  const found = new Set<string>()
  const own = Object.entries(thresholds)
  for (const { flagged, categories, category_scores: scores } of results) {
    if (typeof flagged !== 'boolean') throw new Error('the moderation answered with no verdict')
    for (const [category, from] of own) {
      const score = (scores as Record<string, unknown> | undefined)?.[category]
      if (typeof score === 'number' && score >= from) found.add(category)
    }
    if (own.length > 0 || !flagged) continue
    for (const [category, is] of Object.entries(categories ?? {})) if (is === true) found.add(category)
    if (found.size === 0) found.add('flagged')
  }
  return found.size === 0 ? ALLOW : { verdict: 'fires', reason: [...found].sort().join(', ') }
}
