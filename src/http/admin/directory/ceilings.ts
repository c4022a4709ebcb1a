/** A child never exceeds its parent: what is written for a key must lie within what everything above it allows. */
import type { Allowances, Directory, Key, Member, Permission } from '../../../core/directory.ts'
import { isWithin } from '../../../core/patterns.ts'
import { GRANTED } from '../../../core/request.ts'
import { forbidden } from './rows.ts'

type Place = Pick<Key, 'organization' | 'team' | 'user'>

export function parentsOf(directory: Pick<Directory, 'get'>, { organization, team, user }: Place): Member[] {
  return [
    organization === undefined ? undefined : directory.get('organization', organization),
    team === undefined ? undefined : directory.get('team', team),
    user === undefined ? undefined : directory.get('user', user),
  ].filter((row) => row !== undefined)
}

/**
 * Throws `permission_denied` naming what goes too far. Who does not manage the place gives nothing that is not already there:
 * no permission that is in no list above, no endpoint that must be given by name.
 */
export function checkCeilings(
  draft: Member | (Allowances & Pick<Member, 'permissions'>),
  parents: readonly Member[],
  manages: boolean,
): void {
  for (const name of ['models', 'upstreams', 'endpoints'] as const) {
    const wanted = draft[name]
    if (wanted === undefined) continue
    const over = wanted.find((pattern) => parents.some((parent) => !isWithin([pattern], parent[name])))
    if (over !== undefined) forbidden(`${name}: "${over}" is more than what is above allows.`)
  }
  const given = (permission: Permission) => parents.some((parent) => parent.permissions?.includes(permission))
  for (const permission of draft.permissions ?? []) {
    const over = parents.some((parent) => parent.permissions && !parent.permissions.includes(permission))
    if (over || (!manages && !given(permission))) forbidden(`permissions: "${permission}" is not yours to give.`)
  }
  if (manages || draft.endpoints === undefined) return
  const above = parents.flatMap((parent) => parent.endpoints ?? [])
  const over = draft.endpoints.find(
    (name) => (name.includes('*') || GRANTED.includes(name)) && !isWithin([name], above),
  )
  if (over !== undefined) forbidden(`endpoints: "${over}" is not yours to give.`)
}
