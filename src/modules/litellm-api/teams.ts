/** `/team/…`. A team is in an organization; one that is not named is that of the settings, made when it is first needed. */
import { randomUUID } from 'node:crypto'
import type { Membership, Team, User } from '../../core/directory.ts'
import { badRequest } from '../../core/errors.ts'
import type { AdminCall, AdminRoute, Host } from '../../core/module.ts'
import type { JsonObject } from '../../core/request.ts'
import * as fields from './fields.ts'
import { checkFigures, setFigures } from './figures.ts'
import { fieldsOf, keyInfo, teamInfo, userInfo, userNamed, withoutNulls } from './rows.ts'
import { together, type Undo } from './steps.ts'

interface Member {
  readonly role: 'admin' | 'user'
  readonly user_id?: string | null
  readonly user_email?: string | null
}

const teamOf = (host: Host, id: string): Team => host.directory.get('team', id) as Team

/** The organization that stands for none. */
export async function ownOrganization(host: Host, call: AdminCall, undo: Undo): Promise<string> {
  const { organization: id } = { organization: 'default', ...(host.chosen.everywhere as { organization?: string }) }
  if (host.directory.get('organization', id)) return id
  await call.api('POST', 'organizations', { id })
  undo(() => call.api('DELETE', `organizations/${id}`))
  return id
}

/** Makes a user member of a team, and the user too if there is none. */
async function join(host: Host, call: AdminCall, team: Team, member: Member, undo: Undo): Promise<User> {
  const { user_id, user_email, role } = member
  const name = user_id ?? user_email
  if (!name) throw badRequest('A member has a "user_id" or a "user_email".', 'member')
  const own: Membership = {
    organization: team.organization,
    team: team.id,
    role: role === 'admin' ? 'admin' : 'member',
  }
  const known = userNamed(host, name) ?? (user_email ? userNamed(host, user_email) : undefined)
  if (!known) {
    const email = user_email ?? (name.includes('@') ? name : undefined)
    const made = (await call.api('POST', 'users', {
      ...(name.includes('@') ? { name: name.toLowerCase() } : { id: name }),
      ...(email === undefined ? {} : { email: email.toLowerCase() }),
      memberships: [own as unknown as JsonObject],
    })) as { id: string }
    undo(() => call.api('DELETE', `users/${made.id}`))
    return host.directory.get('user', made.id) as User
  }
  const others = known.memberships.filter((one) => one.team !== team.id)
  const before = known.memberships as unknown as JsonObject[]
  await call.api('PUT', `users/${known.id}`, { memberships: [...others, own] as unknown as JsonObject[] })
  undo(() => call.api('PUT', `users/${known.id}`, { memberships: before }))
  return host.directory.get('user', known.id) as User
}

const example = { team_id: 'ml', team_alias: 'Machine learning', max_budget: 500, budget_duration: '30d', spend: 0 }

export const teamRoutes: readonly AdminRoute[] = [
  fields.route({
    method: 'POST',
    path: 'team/new',
    summary: 'Makes a team.',
    body: fields.TeamNew,
    example: { team_alias: 'Machine learning', models: ['gpt-4o*'], max_budget: 500, budget_duration: '30d' },
    handle: (host, call) =>
      together(async (undo) => {
        const asked = withoutNulls(fields.honoured(call.body))
        checkFigures(call, asked)
        const {
          members = [],
          admins = [],
          members_with_roles = [],
        } = asked as unknown as {
          members?: string[]
          admins?: string[]
          members_with_roles?: Member[]
        }
        const organization = asked.organization_id ?? (await ownOrganization(host, call, undo))
        const { id } = (await call.api('POST', 'teams', {
          ...withoutNulls(fieldsOf(asked, 'team_alias')),
          id: asked.team_id ?? randomUUID(),
          organization,
        })) as { id: string }
        undo(() => call.api('DELETE', `teams/${id}`))
        await setFigures(host, call, { team: id }, asked, undo)
        const all: Member[] = [
          ...members_with_roles,
          ...members.map((user_id) => ({ role: 'user' as const, user_id })),
          ...admins.map((user_id) => ({ role: 'admin' as const, user_id })),
        ]
        for (const member of all) await join(host, call, teamOf(host, id), member, undo)
        return teamInfo(host, teamOf(host, id))
      }),
  }),
  fields.route({
    method: 'POST',
    path: 'team/update',
    summary: 'Changes a team: absent fields stay, null takes one away.',
    body: fields.TeamUpdate,
    example: { team_id: 'ml', max_budget: 750 },
    async handle(host, call) {
      const { team_id, ...asked } = fields.honoured(call.body) as { team_id: string } & JsonObject
      await call.api('GET', `teams/${encodeURIComponent(team_id)}`)
      const before = teamOf(host, team_id)
      checkFigures(call, asked)
      if (asked.organization_id && asked.organization_id !== before.organization) {
        throw badRequest('"organization_id": a team stays in its organization.', 'organization_id')
      }
      return together(async (undo) => {
        const change = fieldsOf(asked, 'team_alias')
        const names = Object.keys(change)
        if (names.length > 0) {
          await call.api('PUT', `teams/${team_id}`, change)
          const former = before as unknown as JsonObject
          const back = Object.fromEntries(names.map((name) => [name, former[name] ?? null]))
          undo(() => call.api('PUT', `teams/${team_id}`, back))
        }
        await setFigures(host, call, { team: team_id }, asked, undo)
        return { team_id, data: await teamInfo(host, teamOf(host, team_id)) }
      })
    },
  }),
  fields.route({
    method: 'GET',
    path: 'team/info',
    summary: 'One team with its keys and members.',
    query: fields.TeamAsked,
    example: { team_id: 'ml', team_info: example, keys: [], team_memberships: [] },
    async handle(host, call) {
      const { team_id } = call.query as { team_id?: string }
      if (team_id === undefined) throw badRequest('Name a team: ?team_id=….', 'team_id')
      await call.api('GET', `teams/${encodeURIComponent(team_id)}`)
      const { keys } = (await call.api('GET', `keys?team=${encodeURIComponent(team_id)}&limit=1000`)) as {
        keys: { id: string }[]
      }
      const infos = keys.flatMap(({ id }) => host.directory.get('key', id) ?? []).map((row) => keyInfo(host, row))
      const team_info = await teamInfo(host, teamOf(host, team_id))
      const members = team_info.members_with_roles as { user_id: string }[]
      return {
        team_id,
        team_info,
        keys: await Promise.all(infos),
        team_memberships: members.map(({ user_id }) => ({ user_id, team_id })),
      }
    },
  }),
  fields.route({
    method: 'GET',
    path: 'team/list',
    summary: 'The teams that you may see.',
    query: fields.TeamList,
    answer: fields.Answer,
    example: [example],
    async handle(host, call) {
      const { organization_id, user_id } = call.query as { organization_id?: string; user_id?: string }
      const query = new URLSearchParams({
        limit: '1000',
        ...(organization_id ? { organization: organization_id } : {}),
      })
      const ids: string[] = []
      for (let after: string | null = ''; after !== null; ) {
        if (after) query.set('after', after)
        const page = (await call.api('GET', `teams?${query}`)) as { teams: { id: string }[]; next: string | null }
        ids.push(...page.teams.map(({ id }) => id))
        after = page.next
      }
      const user = user_id === undefined ? undefined : userNamed(host, user_id)
      const wanted = ids.filter(
        (id) => user_id === undefined || (user?.memberships.some(({ team }) => team === id) ?? false),
      )
      return Promise.all(wanted.flatMap((id) => host.directory.get('team', id) ?? []).map((row) => teamInfo(host, row)))
    },
  }),
  fields.route({
    method: 'POST',
    path: 'team/member_add',
    summary: 'Makes users members of a team; who is not known yet is made.',
    body: fields.MemberAdd,
    example: { team_id: 'ml', member: { role: 'user', user_id: 'ada' }, max_budget_in_team: 25 },
    async handle(host, call) {
      const { team_id, member, max_budget_in_team } = call.body as {
        team_id: string
        member: Member | Member[]
        max_budget_in_team?: number | null
      }
      await call.api('GET', `teams/${encodeURIComponent(team_id)}`)
      const money = max_budget_in_team === undefined ? {} : { max_budget: max_budget_in_team }
      checkFigures(call, money)
      return together(async (undo) => {
        const joined: User[] = []
        for (const one of [member].flat()) joined.push(await join(host, call, teamOf(host, team_id), one, undo))
        for (const { id } of joined) await setFigures(host, call, { team: team_id, user: id }, money, undo)
        const updated_users = await Promise.all(joined.map((user) => userInfo(host, user)))
        return {
          ...(await teamInfo(host, teamOf(host, team_id))),
          updated_users,
          updated_team_memberships: updated_users.map(({ user_id }) => ({ user_id, team_id })),
        }
      })
    },
  }),
]
