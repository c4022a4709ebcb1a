/** Data-plane records: what one exchange was, at the level that its scope asks for. Never its text. */
import { createHmac, randomBytes } from 'node:crypto'
import type { Exchange } from '../../core/exchange.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { writtenScopes } from '../../core/scopes.ts'
import { clipped, type Draft } from './record.ts'

export type Level = 'off' | 'decisions' | 'metadata' | 'content-commitment'

/** Scope → level. The narrowest scope that is named decides: a key, a user, a team, an organization, then the default. */
export function levelOf(x: Exchange, level: Level, scopes: Readonly<Record<string, Level>>): Level {
  const who = x.principal
  if (who === undefined) return level
  return (
    scopes[`key/${who.id}`] ??
    (who.user === undefined ? undefined : scopes[`user/${who.user}`]) ??
    (who.team === undefined ? undefined : scopes[`team/${who.team}`]) ??
    (who.organization === undefined ? undefined : scopes[`organization/${who.organization}`]) ??
    level
  )
}

/** Decisions that only say that all went its way. */
const ROUTINE = new Set(['known', 'plan', 'answered', 'hit', 'miss', 'bypass'])

function decisionsOf(x: Exchange): JsonObject[] {
  const out: JsonObject[] = []
  for (const { phase, module, decision, reason, observed } of x.trace) {
    if (module === '' || ROUTINE.has(decision)) continue
    out.push({
      phase,
      module,
      decision,
      ...(reason === undefined ? {} : { reason: clipped(reason, 500) }),
      ...(observed ? { observed } : {}),
    })
  }
  return out
}

const scopeOf = (x: Exchange): Pick<Draft, 'organization' | 'exchange'> => ({
  exchange: x.id,
  ...(x.principal?.organization === undefined ? {} : { organization: x.principal.organization }),
})

function whoAndWhat(x: Exchange): Record<string, JsonValue> {
  const who = x.principal
  const facts: Record<string, JsonValue> = {
    principal: who?.id ?? 'unknown',
    revision: x.revision,
    operation: x.operation,
    dialect: x.dialect,
    model: clipped(x.model),
    peer: clipped(x.peer),
  }
  if (who?.user !== undefined) facts.user = who.user
  if (who?.team !== undefined) facts.team = who.team
  const { endUser } = writtenScopes(x)
  if (endUser !== undefined) facts.endUser = clipped(endUser)
  if (x.plan) facts.route = x.plan.via
  return facts
}

/** That bytes are about to go upstream: on the disk before they do (strict mode). */
export function intentOf(x: Exchange): Draft {
  const targets = x.plan?.targets.map((t) => clipped(`${t.upstream.id}/${t.model}`)) ?? []
  return { at: x.arrivedAt, kind: 'intent', ...scopeOf(x), facts: { ...whoAndWhat(x), targets } }
}

/** Undefined where the level has nothing to say. */
export function exchangeOf(x: Exchange, level: Level): Draft | undefined {
  const ended = x.ended
  if (ended === undefined || level === 'off') return undefined
  const decisions = decisionsOf(x)
  if (level === 'decisions' && ended.outcome !== 'refused' && decisions.length === 0) return undefined
  const facts = whoAndWhat(x)
  facts.outcome = ended.outcome
  facts.status = ended.status
  if (ended.error) facts.error = ended.error.code
  if (decisions.length > 0) facts.decisions = decisions
  if (level === 'decisions') return { at: x.arrivedAt, kind: 'decision', ...scopeOf(x), facts }
  const served = x.attempts.findLast((a) => a.outcome === 'done') ?? x.attempts.at(-1)
  if (served) {
    facts.upstream = served.target.upstream.id
    facts.upstreamModel = clipped(served.target.model)
    if (served.servedModel !== undefined) facts.servedModel = clipped(served.servedModel)
  }
  facts.attempts = x.attempts.length
  facts.stream = x.stream
  facts.usage = ended.usage as unknown as JsonValue
  facts.cost = String(ended.cost)
  if (ended.unpriced) facts.unpriced = true
  if (x.cache !== undefined) facts.cache = x.cache
  facts.totalMs = Math.round(ended.totalMs)
  return { at: x.arrivedAt, kind: 'exchange', ...scopeOf(x), facts }
}

const SALT_BYTES = 32
/** A salted hash of what was said. Without its salt it can be matched with nothing, so forgetting the salt erases it. */
export const commitment = (salt: Uint8Array, part: 'request' | 'reply', text: string): string =>
  createHmac('sha256', salt).update(`${part}:${text}`).digest('base64')

/**
 * Commits to the first `most` bytes of request and reply as text: to what a log that keeps as much shows. Where a module hid
 * something, that is what it made of the request.
 */
export function withCommitments(draft: Draft, x: Exchange, most: number): { draft: Draft; salt: Buffer } {
  const salt = randomBytes(SALT_BYTES)
  const asked = x.transformed ? Buffer.from(JSON.stringify(x.transformed)) : x.body
  const request = asked.subarray(0, most).toString('utf8')
  const reply = Buffer.concat(x.replyBody).subarray(0, most).toString('utf8')
  const facts: Record<string, JsonValue> = {
    ...draft.facts,
    request: {
      bytes: asked.length,
      whole: asked.length <= most && !x.relay?.rest,
      commitment: commitment(salt, 'request', request),
    },
    reply: { commitment: commitment(salt, 'reply', reply) },
  }
  return { draft: { ...draft, facts }, salt }
}
