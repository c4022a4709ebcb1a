/**
 * What a key may do, computed from its row and those above it: each level can only take away. Computed once for a row and
 * kept until anything in the directory changes.
 */
import { type AddressList, addressList } from '../../core/addresses.ts'
import type { Directory, Key, Member, Permission } from '../../core/directory.ts'
import type { Principal } from '../../core/exchange.ts'
import { passesAll } from '../../core/patterns.ts'

export interface Access {
  readonly principal: Principal
  /** What was blocked, as a sentence's subject. */
  readonly blocked: string | undefined
  readonly endpoints: ((name: string) => boolean) | undefined
  readonly addresses: readonly AddressList[]
}

/** Who besides the key itself sees what it makes and what is kept for it. */
export type SharedIn = 'key' | 'team' | 'organization'

type Rows = Pick<Directory, 'get'>
/** What is known of the caller without its own row. */
export type Place = Pick<Key, 'organization' | 'team' | 'user'>

export function accessOf(kind: 'key' | 'token', own: Member & Place, rows: Rows, sharedIn: SharedIn): Access {
  const above = placesAbove(own, rows)
  const levels: readonly Member[] = [...above.map(({ row }) => row).filter((row) => row !== undefined), own]
  const lists = (name: 'models' | 'upstreams' | 'endpoints') => passesAll(levels.map((level) => level[name]))
  const tags = [...new Set(levels.flatMap((level) => level.tags ?? []))].sort()
  const mayAsk = lists('models')
  const mayCall = lists('upstreams')
  return {
    principal: {
      kind,
      id: own.id,
      ...(own.organization === undefined ? {} : { organization: own.organization }),
      ...(own.team === undefined ? {} : { team: own.team }),
      ...(own.user === undefined ? {} : { user: own.user }),
      scope: scopeOf(own, sharedIn),
      ...(tags.length === 0 ? {} : { tags }),
      permissions: permissionsOf(
        own,
        above.flatMap(({ row }) => (row?.permissions ? [row.permissions] : [])),
      ),
      ...(mayAsk ? { mayAsk } : {}),
      ...(mayCall ? { mayCall } : {}),
    },
    // A place that is gone is as good as blocked: what it would have forbidden is not known any more.
    blocked: own.blocked ? 'this key' : above.find(({ row }) => !row || row.blocked)?.name,
    endpoints: lists('endpoints'),
    addresses: levels.flatMap(({ ipRanges }) => (ipRanges ? [addressList(ipRanges)] : [])),
  }
}

function placesAbove({ organization, team, user }: Place, rows: Rows) {
  const place = (kind: 'organization' | 'team' | 'user', id: string | undefined) =>
    id === undefined ? [] : [{ name: `its ${kind} "${id}"`, row: rows.get(kind, id) as Member | undefined }]
  return [...place('organization', organization), ...place('team', team), ...place('user', user)]
}

function scopeOf({ id, organization, team }: Member & Place, sharedIn: SharedIn): string {
  if (sharedIn === 'organization' && organization !== undefined) return `organization:${organization}`
  if (sharedIn !== 'key' && team !== undefined) return `team:${team}`
  return `key:${id}`
}

/** A permission must be given to the key itself; a level above that has a list is a ceiling. */
const permissionsOf = (own: Member, ceilings: readonly (readonly Permission[])[]): readonly Permission[] =>
  (own.permissions ?? []).filter((permission) => ceilings.every((ceiling) => ceiling.includes(permission)))
