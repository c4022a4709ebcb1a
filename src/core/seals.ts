/**
 * What only the account that made it can read (A61): reasoning and compacted conversations that travel sealed through the
 * client, which brings them back with the next turn. Who made which is an owner row under the seal's digest, so it is known
 * after a restart, too. A turn goes to the account that made its latest seal; where another must take it, it goes without
 * what that one cannot read, if the route allows it to lose something.
 */
import { hash } from 'node:crypto'
import type { Exchange, Plan, Target } from './exchange.ts'
import type { Made, Objects, OwnedObject } from './objects.ts'
import type { JsonObject, JsonValue } from './request.ts'

/** How a dialect carries them. */
export interface Seals {
  /** Those of a request's body, in their order. */
  of(body: JsonObject): readonly string[]
  /** The fields of the body without what these seal; undefined where the conversation makes no sense without it. */
  without(body: JsonObject, isForeign: (seal: string) => boolean): Readonly<Record<string, JsonValue>> | undefined
  /** Another vendor's, put into this dialect's form here: no account reads it, unless it is known to have made it. */
  isLent(seal: string): boolean
  /** Whether this complaint says that a seal is not the account's own. */
  refused(complaint: { readonly code: string | undefined; readonly message: string | undefined }): boolean
}

export const SEALED = 'sealed'
/** No client goes on with a conversation later than this. */
export const SEALS_KEPT_MS = 30 * 86_400_000

const idOf = (seal: string): string => `${SEALED}-${hash('sha256', seal, 'base64url')}`

export const sealsMade = (seals: readonly string[]): Made[] => seals.map((seal) => ({ id: idOf(seal), kind: SEALED }))

/** The seals of a request, and who is known to have made each. */
export type SealsOf = ReadonlyMap<string, readonly OwnedObject[]>

export function sealsIn(body: JsonObject, seals: Seals, objects: Objects): SealsOf | undefined {
  const found = seals.of(body)
  if (found.length === 0) return undefined
  return new Map(found.map((seal) => [seal, objects.find(idOf(seal)).filter(({ kind }) => kind === SEALED)]))
}

/** The account at this upstream that made the latest of the seals that it made. */
export function sealedBy(seals: SealsOf | undefined, upstream: string): OwnedObject | undefined {
  let latest: OwnedObject | undefined
  if (seals) for (const rows of seals.values()) latest = rows.find((row) => row.upstream === upstream) ?? latest
  return latest
}

/** Those that are known to be made by another account than this one. An account that was removed is nobody's rival. */
export function foreignTo({ upstream }: Target, credential: string | undefined, known: SealsOf, seals: Seals) {
  const isOwn = (row: OwnedObject): boolean =>
    row.upstream === upstream.id &&
    (credential === undefined ||
      row.credential === undefined ||
      row.credential === credential ||
      !upstream.credentials.some(({ id }) => id === row.credential))
  return (seal: string): boolean => {
    const rows = known.get(seal) ?? []
    return rows.length > 0 ? !rows.some(isOwn) : seals.isLent(seal)
  }
}

/** First whoever made the latest seal, then the others as they stood. */
export function nearSeals({ sealed }: Exchange, plan: Plan): Plan {
  if (!sealed || plan.targets.length < 2) return plan
  for (const rows of [...sealed.values()].reverse()) {
    const made = (target: Target): boolean => rows.some((row) => row.upstream === target.upstream.id)
    const makers = plan.targets.filter(made)
    if (makers.length === 0) continue
    return { ...plan, targets: [...makers, ...plan.targets.filter((target) => !made(target))] }
  }
  return plan
}
