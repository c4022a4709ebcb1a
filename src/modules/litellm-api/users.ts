/** `/user/…`. */
import type { User } from '../../core/directory.ts'
import { badRequest } from '../../core/errors.ts'
import type { AdminCall, AdminRoute, Host } from '../../core/module.ts'
import type { JsonObject } from '../../core/request.ts'
import * as fields from './fields.ts'
import { checkFigures, setFigures } from './figures.ts'
import { generateKey } from './keys.ts'
import { fieldsOf, keyInfo, teamInfo, userInfo, userKnown, withoutNulls } from './rows.ts'
import { together } from './steps.ts'

const ROLE: Readonly<Record<fields.UserRole, { readonly instance?: string; readonly team: string }>> = {
  proxy_admin: { instance: 'admin', team: 'admin' },
  proxy_admin_viewer: { instance: 'viewer', team: 'viewer' },
  internal_user: { team: 'member' },
  internal_user_viewer: { team: 'viewer' },
}

async function made(host: Host, call: AdminCall): Promise<JsonObject> {
  const asked = withoutNulls(fields.honoured(call.body))
  const {
    user_id,
    user_email,
    user_alias,
    user_role = 'internal_user',
    auto_create_key = true,
  } = asked as {
    user_id?: string
    user_email?: string
    user_alias?: string
    user_role?: fields.UserRole
    auto_create_key?: boolean
  }
  const {
    teams = [],
    team_id,
    organizations = [],
    key_alias,
    duration,
  } = asked as {
    teams?: string[]
    team_id?: string
    organizations?: string[]
    key_alias?: string
    duration?: string
  }
  checkFigures(call, asked)
  const role = ROLE[user_role]
  const named = user_id?.includes('@') ? user_id.toLowerCase() : undefined
  const email = user_email?.toLowerCase() ?? named
  if (named !== undefined && email !== named) {
    throw badRequest('"user_id" is an e-mail address, and "user_email" is another.', 'user_id')
  }
  const name = named ?? user_alias
  return together(async (undo) => {
    const { id } = (await call.api('POST', 'users', {
      ...withoutNulls(fieldsOf(asked, 'user_alias')),
      ...(user_id === undefined || named ? {} : { id: user_id }),
      ...(email === undefined ? {} : { email }),
      ...(name === undefined ? {} : { name }),
      memberships: [
        ...(role.instance ? [{ role: role.instance }] : []),
        ...organizations.map((organization) => ({ organization, role: role.team })),
        ...new Set([...teams, ...(team_id === undefined ? [] : [team_id])]),
      ].map((one) => (typeof one === 'string' ? { team: one, role: role.team } : one)) as JsonObject[],
    })) as { id: string }
    undo(() => call.api('DELETE', `users/${id}`))
    await setFigures(host, call, { user: id }, asked, undo)
    const user = await userInfo(host, host.directory.get('user', id) as User)
    if (!auto_create_key) return { ...user, key: null, expires: null }
    const draft: JsonObject = {
      user_id: id,
      ...(team_id === undefined ? {} : { team_id }),
      ...(key_alias === undefined ? {} : { key_alias }),
      ...(duration === undefined ? {} : { duration }),
    }
    const { key = null, key_name = null, token = null, expires = null } = await generateKey(host, call, draft, undo)
    return { ...user, key, key_name, token, expires, key_alias: key_alias ?? null, team_id: team_id ?? null }
  })
}

export const userRoutes: readonly AdminRoute[] = [
  {
    method: 'POST',
    path: 'user/new',
    root: true,
    needs: 'signed-in',
    summary: 'Makes a user and, unless told otherwise, a key that it owns.',
    body: fields.UserNew,
    answer: fields.Answer,
    example: { user_id: 'ada', user_email: 'ada@example.com', user_role: 'internal_user', max_budget: 20 },
    handle: made,
  },
  {
    method: 'GET',
    path: 'user/info',
    root: true,
    needs: 'signed-in',
    summary: 'One user with its keys and teams; without a name, whoever asks.',
    query: fields.UserAsked,
    answer: fields.Answer,
    example: { user_id: 'ada', user_info: { user_id: 'ada', spend: 0 }, keys: [], teams: [] },
    async handle(host, call) {
      const { user_id = call.who.user } = call.query as { user_id?: string }
      if (user_id === undefined) throw badRequest('Name a user: ?user_id=….', 'user_id')
      const { id } = userKnown(host, user_id)
      await call.api('GET', `users/${id}`)
      const row = host.directory.get('user', id) as User
      const { keys } = (await call.api('GET', `keys?user=${id}&limit=1000`)) as { keys: { id: string }[] }
      const infos = keys.flatMap((key) => host.directory.get('key', key.id) ?? [])
      const teams = row.memberships.flatMap(({ team }) => (team && host.directory.get('team', team)) || [])
      return {
        user_id,
        user_info: await userInfo(host, row),
        keys: await Promise.all(infos.map((key) => keyInfo(host, key))),
        teams: await Promise.all(teams.map((team) => teamInfo(host, team))),
      }
    },
  },
]
