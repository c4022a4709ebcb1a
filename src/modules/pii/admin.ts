/** A text is tried against the settings as they are, or against others, without any request. */
import { Type } from 'typebox'
import type { AdminRoute } from '../../core/module.ts'
import { parseStrict } from '../../core/settings.ts'
import { findEncoded } from './encoded.ts'
import { ownFinder } from './own-patterns.ts'
import { policyOf } from './policy.ts'
import { merged } from './request.ts'
import { settings } from './settings.ts'

const body = Type.Object(
  {
    text: Type.String({ maxLength: 1_048_576 }),
    settings: Type.Optional(
      Type.Object({}, { additionalProperties: true, description: 'Instead of the stored ones.' }),
    ),
  },
  { additionalProperties: false },
)
const answer = Type.Object({
  spans: Type.Array(
    Type.Object({ entity: Type.String(), action: Type.String(), start: Type.Integer(), end: Type.Integer() }),
  ),
  redacted: Type.String(),
})

export const admin: readonly AdminRoute[] = [
  {
    method: 'POST',
    path: 'modules/pii/try',
    summary: 'What would be found in a text, and what would become of it. Without the external recognizer.',
    body,
    answer,
    example: {
      spans: [{ entity: 'EMAIL', action: 'mask', start: 8, end: 24 }],
      redacted: 'Mail to [EMAIL]',
    },
    async handle(host, { body: asked }) {
      const { text, settings: others } = asked as { text: string; settings?: object }
      const { detectors } = await import('./detectors/index.ts')
      const chosen = parseStrict(settings, others ?? host.chosen.everywhere, 'settings')
      const policy = policyOf(chosen, detectors, host.secret('placeholders'))
      const own = chosen.patterns.length > 0 ? ownFinder(chosen.patterns)(text) : []
      const originals = new Map<string, string>()
      let redacted = ''
      let at = 0
      const spans = merged(policy.find(text), [...findEncoded(text, policy.find), ...own]).flatMap(
        ({ entity, start, end }) => {
          const action = policy.actionOf(entity)
          const value = text.slice(start, end)
          if (action === 'off' || policy.allowed(value)) return []
          redacted += text.slice(at, start) + policy.replacement(action, entity, value, 'try', originals)
          at = end
          return [{ entity, action, start, end }]
        },
      )
      return { spans, redacted: redacted + text.slice(at) }
    },
  },
]
