/**
 * Who may administer what. A membership gives a role at a place of the tree, and the role holds for all that is below.
 * Every administrative route names the action that it takes; this table says which role may take it.
 */
import type { Membership, Role } from './directory.ts'
import { failure } from './errors.ts'

/**
 * `read` rows and settings, `usage` money and logs, `audit` the record of changes, `use` keys of one's own, `manage`
 * everything but `own`: other owners, the organization itself, the master key, backups.
 */
export const ACTIONS = ['read', 'usage', 'audit', 'use', 'manage', 'own'] as const
export type Action = (typeof ACTIONS)[number]

export const ACTIONS_OF: Readonly<Record<Role, readonly Action[]>> = {
  owner: ACTIONS,
  admin: ['read', 'usage', 'audit', 'use', 'manage'],
  member: ['use'],
  viewer: ['read', 'usage'],
  auditor: ['usage', 'audit'],
}

/** Somebody who administers. */
export interface Actor {
  /** As it stands in the record: `admin` for the admin key, else `user:` and the id. */
  readonly name: string
  readonly user?: string
  readonly memberships: readonly Membership[]
}

/** Whoever holds the admin key owns the instance. */
export const ADMIN: Actor = { name: 'admin', memberships: [{ role: 'owner' }] }

/** Where an action takes place: the instance, an organization, or a team of one. */
export interface Place {
  readonly organization?: string | undefined
  readonly team?: string | undefined
}
export const INSTANCE: Place = {}

export const may = (actor: Actor, action: Action, place: Place): boolean =>
  actor.memberships.some((m) => covers(m, place) && ACTIONS_OF[m.role].includes(action))

/** Anywhere at all. */
export const mayAnywhere = (actor: Actor, action: Action): boolean =>
  actor.memberships.some((m) => ACTIONS_OF[m.role].includes(action))

function covers(membership: Membership, place: Place): boolean {
  if (membership.team !== undefined) return membership.team === place.team
  if (membership.organization !== undefined) return membership.organization === place.organization
  return true
}

/** Nobody gives what they do not have: every action of the role must be the giver's own there, and managing with it. */
export const mayGrant = (actor: Actor, membership: Membership): boolean =>
  may(actor, 'manage', membership) && ACTIONS_OF[membership.role].every((action) => may(actor, action, membership))

/** What an administrator sees of usage and logs; the fields are filters that hold together. */
export interface View {
  readonly organization?: string
  readonly team?: string
  readonly user?: string
}

/**
 * Narrows a question about usage or logs to what the actor may see: what was asked for, if a role covers it; with nothing
 * asked for and no role in the whole instance, what is the actor's own. Throws `permission_denied`.
 */
export function viewOf(actor: Actor, asked: View): View {
  if (may(actor, 'usage', INSTANCE)) return {}
  const { organization, team, user } = asked
  if (team !== undefined && may(actor, 'usage', { organization, team })) return {}
  if (organization !== undefined && may(actor, 'usage', { organization })) return {}
  const own = actor.user
  if (own !== undefined && (user === own || (user === undefined && organization === undefined && team === undefined))) {
    return { user: own }
  }
  throw failure('permission_denied', {
    problem: 'You see your own usage, and that of the organizations and teams in which your role shows it: name one.',
  })
}
