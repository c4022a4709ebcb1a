/** Keys, teams and users as LiteLLM's answers show them, and how its requests name them. */
import type { Key, Membership, Team, User } from '../../core/directory.ts'
import { badRequest, failure } from '../../core/errors.ts'
import type { AdminCall, Host } from '../../core/module.ts'
import type { JsonObject } from '../../core/request.ts'
import { figuresOf } from './figures.ts'

const time = (at: number | undefined): string | null => (at === undefined ? null : new Date(at).toISOString())
const KEY_ID = /^[0-9A-Za-z]{12}$/

/** Fields that keys, teams and users share, as this gateway's rows have them. Empty and special lists mean no restriction. */
export function fieldsOf(asked: JsonObject, alias: string): JsonObject {
  const fields: Record<string, unknown> = {}
  if (asked[alias] !== undefined) fields.name = asked[alias]
  for (const name of ['metadata', 'tags', 'blocked']) if (asked[name] !== undefined) fields[name] = asked[name]
  if (fields.blocked === false) fields.blocked = null
  const { models } = asked as { models?: readonly string[] | null }
  if (models === null || models?.length === 0 || models?.some((name) => EVERYTHING.includes(name))) fields.models = null
  else if (models?.includes('no-default-models')) {
    throw badRequest('"no-default-models" is not honored: name the models, or block the row.', 'models')
  } else if (models !== undefined) fields.models = models
  return fields as JsonObject
}
const EVERYTHING = ['all-proxy-models', 'all-team-models']

/** What is made from nothing has nothing to take away. */
export const withoutNulls = (asked: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== null))

/** By the key itself or by its public id; a 404 if there is none, or none that this actor may see. */
export async function keyNamed(host: Host, call: AdminCall, text: string): Promise<Key> {
  const reading = KEY_ID.test(text) ? undefined : host.keys.read(text, host.now())
  const id = reading ? ('row' in reading ? reading.row.id : undefined) : text
  if (id === undefined) throw failure('not_found', { what: 'such key' })
  await call.api('GET', `keys/${id}`)
  return host.directory.get('key', id) as Key
}

export async function keysAliased(host: Host, call: AdminCall, alias: string): Promise<readonly Key[]> {
  const rows = host.directory.list('key', { name: alias, limit: 100 })
  if (rows.length === 0) throw failure('not_found', { what: `key with the alias "${alias.slice(0, 100)}"` })
  for (const { id } of rows) await call.api('GET', `keys/${id}`)
  return rows
}

/** An e-mail address stands for whoever signs in with it. */
export function userNamed(host: Host, name: string): User | undefined {
  if (!name.includes('@')) return host.directory.get('user', name)
  return host.directory.list('user', { name: name.toLowerCase(), limit: 1 })[0]
}
export function userKnown(host: Host, name: string): User {
  const row = userNamed(host, name)
  if (!row) throw failure('not_found', { what: `user "${name.slice(0, 100)}" (make one with /user/new)` })
  return row
}
/** As it was named when it was made. */
const nameOf = ({ id, name, email }: User): string => (name !== undefined && name === email ? email : id)
const userIdOf = (host: Host, id: string | undefined): string | null => {
  if (id === undefined) return null
  const row = host.directory.get('user', id)
  return row ? nameOf(row) : id
}

export async function keyInfo(host: Host, row: Key): Promise<JsonObject> {
  return {
    token: row.id,
    token_id: row.id,
    key_name: `sk-sy-${row.id}_…`,
    key_alias: row.name ?? null,
    expires: time(row.expiresAt),
    models: [...(row.models ?? [])],
    aliases: {},
    config: {},
    permissions: {},
    user_id: userIdOf(host, row.user),
    team_id: row.team ?? null,
    organization_id: row.organization ?? null,
    metadata: row.metadata ?? {},
    tags: [...(row.tags ?? [])],
    blocked: row.blocked ?? false,
    created_at: time(row.createdAt),
    updated_at: time(row.updatedAt),
    ...(await figuresOf(host, { key: row.id })),
  }
}

const MANAGERS: readonly string[] = ['owner', 'admin']
function membersOf(host: Host, team: Team) {
  return host.directory.list('user', { memberOf: team.organization, limit: 10_000 }).flatMap((user) => {
    const role = user.memberships.find((m: Membership) => m.team === team.id)?.role
    if (role === undefined) return []
    return [{ user_id: nameOf(user), user_email: user.email ?? null, role: MANAGERS.includes(role) ? 'admin' : 'user' }]
  })
}

export async function teamInfo(host: Host, row: Team): Promise<JsonObject> {
  const members = membersOf(host, row)
  return {
    team_id: row.id,
    team_alias: row.name ?? null,
    organization_id: row.organization,
    models: [...(row.models ?? [])],
    metadata: row.metadata ?? {},
    tags: [...(row.tags ?? [])],
    blocked: row.blocked ?? false,
    members_with_roles: members,
    members: members.filter(({ role }) => role === 'user').map(({ user_id }) => user_id),
    admins: members.filter(({ role }) => role === 'admin').map(({ user_id }) => user_id),
    created_at: time(row.createdAt),
    updated_at: time(row.updatedAt),
    ...(await figuresOf(host, { team: row.id })),
  }
}

const inInstance = ({ memberships }: User, roles: readonly string[]): boolean =>
  memberships.some(({ organization, team, role }) => !organization && !team && roles.includes(role))

export async function userInfo(host: Host, row: User): Promise<JsonObject> {
  const teams = row.memberships.flatMap(({ team }) => team ?? [])
  const role = inInstance(row, MANAGERS)
    ? 'proxy_admin'
    : inInstance(row, ['viewer', 'auditor'])
      ? 'proxy_admin_viewer'
      : row.memberships.length > 0 && row.memberships.every((one) => one.role === 'viewer')
        ? 'internal_user_viewer'
        : 'internal_user'
  return {
    user_id: nameOf(row),
    user_email: row.email ?? null,
    user_alias: row.name !== undefined && row.name !== row.email ? row.name : null,
    user_role: role,
    teams,
    models: [...(row.models ?? [])],
    metadata: row.metadata ?? {},
    tags: [...(row.tags ?? [])],
    blocked: row.blocked ?? false,
    created_at: time(row.createdAt),
    updated_at: time(row.updatedAt),
    ...(await figuresOf(host, { user: row.id })),
  }
}
