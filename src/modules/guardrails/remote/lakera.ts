/**
 * Lakera Guard (POST /v2/guard). The API key is the module's secret that is named like the rule; which detectors run is the
 * project's business there. What it points at can be redacted.
 */
import { type Static, Type } from 'typebox'
import { REDACTED } from '../spans.ts'
import { byAddress } from './settings.ts'
import { ALLOW, type Ask, objects, post } from './verdict.ts'

export const lakera = Type.Object(
  {
    ...byAddress('lakera'),
    url: Type.String({ default: 'https://api.lakera.ai', pattern: '^https?://', maxLength: 2_000 }),
    project: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  },
  { additionalProperties: false },
)

export const askLakera: Ask<Static<typeof lakera>> = async (rule, asked) => {
  const { id, url, project, timeoutMs, action } = rule
  const key = asked.host.secretOf(id)
  if (key === undefined) throw new Error(`the rule ${id} has no secret`)
  const texts = asked.texts.filter((text) => text !== '')
  if (texts.length === 0) return ALLOW
  const role = asked.on === 'request' ? 'user' : 'assistant'
  const answer = await post('the guard', asked, {
    url: `${url.replace(/\/+$/, '')}/v2/guard`,
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({
      messages: texts.map((content) => ({ role, content })),
      ...(project === undefined ? {} : { project_id: project }),
      breakdown: true,
      payload: action === 'redact',
    }),
    timeoutMs,
  })
  if (typeof answer.flagged !== 'boolean') throw new Error('the guard answered with no verdict')
  if (!answer.flagged) return ALLOW
  const detected = objects(answer.breakdown).filter((one) => one.detected === true)
  const reason = [...new Set(detected.map((one) => String(one.detector_type)))].sort().join(', ') || 'flagged'
  const places = objects(answer.payload)
  if (action !== 'redact' || places.length === 0) return { verdict: 'fires', reason }
  const others = texts.map((text, i) =>
    without(
      text,
      places.filter((place) => place.message_id === i),
    ),
  )
  let next = 0
  return { verdict: 'redact', reason, texts: asked.texts.map((text) => (text === '' ? text : String(others[next++]))) }
}

function without(text: string, places: readonly Record<string, unknown>[]): string {
  let out = ''
  let at = 0
  const spans = places.map(({ start, end }) => [Number(start), Number(end)] as const).sort((a, b) => a[0] - b[0])
  for (const [start, end] of spans) {
    if (!Number.isInteger(start) || !Number.isInteger(end) || end <= at) continue
    out += text.slice(at, Math.max(at, start)) + REDACTED
    at = end
  }
  return out + text.slice(at)
}
