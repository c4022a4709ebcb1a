/**
 * Who made what at which upstream. A file, a batch or a stored response is its maker's alone: a request that names one
 * goes to the upstream and the account that hold it, and for everybody else it is not there (404, like one that was never
 * made). Ids are an upstream's own; two upstreams may have used the same.
 */
import { badRequest, failure } from './errors.ts'
import type { Attempt, Exchange, Plan } from './exchange.ts'
import type { ReplyFacts } from './reply.ts'
import type { JsonObject } from './request.ts'

export interface OwnedObject {
  readonly upstream: string
  readonly id: string
  /** What it is: `file`, `batch`, `response`. */
  readonly kind: string
  /** Whose it is: the scope of the principal that made it. */
  readonly scope: string
  /** The account that holds it, where an upstream has several. */
  readonly credential?: string
  readonly model?: string
  /** Milliseconds since 1970. */
  readonly madeAt: number
  /** Who is charged for what it goes on to do. */
  readonly maker: Maker
  /** What has to be known of it later; changed by `note`. */
  readonly facts?: JsonObject
}
export interface Maker {
  readonly principal: string
  readonly organization?: string
  readonly team?: string
  readonly user?: string
}

export interface Objects {
  /** When it returns, the row survives the end of the process. An object keeps its first owner. Throws `storage_…`. */
  put(object: OwnedObject): void
  /** All objects of this id, whoever made them. */
  find(id: string): readonly OwnedObject[]
  /** The objects of one kind that a scope has at an upstream, newest first. */
  list(owner: { readonly scope: string; readonly upstream: string; readonly kind: string }): readonly OwnedObject[]
  /** Those of a kind whose facts have no `settled` yet, oldest first. */
  unsettled(kind: string, limit: number): readonly OwnedObject[]
  note(object: OwnedObject, facts: JsonObject): void
  remove(object: OwnedObject): void
}

/** What a reply says was made by this call. */
export interface Made {
  readonly id: string
  readonly kind: string
  readonly facts?: JsonObject
}

/** All objects that the request names in its body and path. Throws `not_found` for any that is not the caller's. */
export function claimed(x: Exchange, objects: Objects): readonly OwnedObject[] | undefined {
  const { refers, mayRefer } = x
  const { within, inside } = x.relay?.deed ?? {}
  if (!refers && !mayRefer && !within) return undefined
  const owned = refers ? [...claim(x, refers, objects)] : []
  if (within) owned.push(...claimWithin(x, within, inside === true, objects))
  // Of a conversation that several upstreams have had a part in, the latest goes on.
  const known = mayRefer?.filter((id) => objects.find(id).length > 0).flatMap((id) => claim(x, [id], objects))
  const latest = known?.at(-1)
  if (latest && owned.length === 0) owned.push(latest)
  return owned
}

/** Throws `not_found` for any that is not the caller's. */
export function claim(x: Exchange, ids: readonly string[], objects: Objects): readonly OwnedObject[] {
  const scope = x.principal?.scope
  const owned = ids.map((id) => {
    const mine = objects
      .find(id)
      .find((o) => o.scope === scope && (x.upstream === undefined || o.upstream === x.upstream))
    if (!mine) throw failure('not_found', { what: `object "${id.slice(0, 200)}"` })
    return mine
  })
  const [first] = owned
  const elsewhere = owned.find((o) => o.upstream !== first?.upstream)
  if (first && elsewhere) {
    throw badRequest(
      `"${first.id}" is at upstream "${first.upstream}" and "${elsewhere.id}" at "${elsewhere.upstream}": one request cannot use both.`,
    )
  }
  return owned
}

/** What a path names, of which nothing is known but that some of it may be ids. Throws `not_found` as `claim` does. */
function claimWithin(x: Exchange, ids: readonly string[], must: boolean, objects: Objects) {
  const scope = x.principal?.scope
  let mine: OwnedObject | undefined
  for (const id of ids) {
    const known = objects.find(id).filter((o) => o.upstream === x.upstream)
    mine ??= known.find((o) => o.scope === scope)
    if (known.length > 0 && !known.some((o) => o.scope === scope)) {
      throw failure('not_found', { what: `object "${id.slice(0, 200)}"` })
    }
  }
  if (must && !mine) throw failure('not_found', { what: `object of yours at ${x.path.slice(0, 200)}` })
  return mine ? [mine] : []
}

/** The targets that hold what the request names, or that it was addressed to. */
export function pinned(x: Exchange, plan: Plan): Plan {
  const [held] = x.owned ?? []
  const upstream = held?.upstream ?? x.upstream
  if (upstream === undefined) return plan
  const targets = plan.targets.filter((target) => target.upstream.id === upstream)
  if (targets.length === plan.targets.length) return plan
  if (targets.length === 0) {
    throw badRequest(
      held
        ? `"${held.id}" is at upstream "${upstream}", where "${x.model}" does not go; ask for a model of that upstream.`
        : `"${x.model}" does not go to upstream "${upstream}".`,
      'model',
    )
  }
  return { ...plan, targets }
}

/** What was made becomes the caller's before the caller learns of it. */
export function keep(x: Exchange, attempt: Attempt, facts: ReplyFacts, objects: Objects, now: number): void {
  const { made } = facts
  if (!made) return
  const who = x.principal
  if (!who) return
  delete facts.made
  const maker: Maker = {
    principal: who.id,
    ...(who.organization === undefined ? {} : { organization: who.organization }),
    ...(who.team === undefined ? {} : { team: who.team }),
    ...(who.user === undefined ? {} : { user: who.user }),
  }
  for (const each of made) {
    objects.put({
      ...each,
      ...(each.facts ? { facts: { ...each.facts, attempt: attempt.id, exchange: x.id } } : {}),
      upstream: attempt.target.upstream.id,
      scope: who.scope,
      madeAt: now,
      maker,
      ...(attempt.credential === undefined ? {} : { credential: attempt.credential }),
      ...(attempt.target.model === '' ? {} : { model: attempt.target.model }),
    })
  }
}
