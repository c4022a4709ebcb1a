/**
 * Fields that a model is known to answer with a 400 (A67): left out before they are sent, and told; or, where the route says
 * so, a reason to refuse. What is known is dated data and an administrator's word per target, never a guess.
 */
import type { UpstreamSide } from './dialect.ts'
import type { Target } from './exchange.ts'
import type { JsonObject, JsonValue } from './request.ts'

/** The edits that make `body` one that the target takes; undefined where it is one already. Names in `lost` what is gone. */
export function refusedFields(
  body: JsonObject,
  { capabilities, overrides }: Target,
  { refusable }: UpstreamSide,
  lost: string[],
): Record<string, JsonValue | undefined> | undefined {
  const refuses = capabilities?.refuses
  if (!refuses || !refusable) return undefined
  let edits: Record<string, JsonValue | undefined> | undefined
  for (const name of refuses) {
    const value = Object.hasOwn(body, name) ? body[name] : undefined
    // What an administrator sets for this very target is their word against the table's.
    if (value === undefined || value === null || (overrides && Object.hasOwn(overrides, name))) continue
    edits ??= {}
    edits[name] = undefined
    const renamed = refusable.renamed[name]
    if (renamed !== undefined) {
      if (body[renamed] === undefined || body[renamed] === null) edits[renamed] = value
    } else if (refusable.neutral[name] !== value) lost.push(name)
  }
  return edits
}
