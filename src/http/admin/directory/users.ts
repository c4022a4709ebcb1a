/** People and service accounts, their roles and passwords. Nobody gives a role that goes beyond their own. */
import { Type } from 'typebox'
import { addressList } from '../../../core/addresses.ts'
import type { Directory, Draft, Membership, User } from '../../../core/directory.ts'
import { badRequest, failure } from '../../../core/errors.ts'
import { type Actor, INSTANCE, may, mayGrant } from '../../../core/roles.ts'
import { parseStrict } from '../../../core/settings.ts'
import { isPassword, passwordProof } from '../passwords.ts'
import type { AdminContext, CoreCall, CoreRoute } from '../route.ts'
import { expected } from './organizations.ts'
import { change, cutIf, draftOf, forbidden, found, merged, newId, paged, pageOf, shown } from './rows.ts'
import { CutQuery, closed, Id, Page, PasswordChange, Removed, UserChange, UserDraft, UserRow } from './schemas.ts'
import { removeFigures, removeKey } from './teams.ts'

const example = {
  id: 'ada',
  kind: 'user',
  email: 'ada@example.com',
  memberships: [{ organization: 'acme', team: 'ml', role: 'member' }],
}

const seesUser = (who: Actor, row: User): boolean =>
  row.id === who.user || may(who, 'read', INSTANCE) || row.memberships.some((m) => may(who, 'read', m))

/** All of its roles could have been given by this actor, so nothing of it belongs to others. */
const managesUser = (who: Actor, { memberships }: User): boolean =>
  may(who, 'own', INSTANCE) ||
  (memberships.every((m) => mayGrant(who, m)) && (memberships.length > 0 || may(who, 'manage', INSTANCE)))

function managed(context: AdminContext, call: CoreCall): User {
  const row = found(context, 'user', call.params.id, (one) => seesUser(call.who, one))
  if (!managesUser(call.who, row)) forbidden('This user has roles that are not yours to manage.')
  return row
}

/** Memberships with their teams' organizations, each of them the actor's to give. */
function granted(
  directory: Pick<Directory, 'get'>,
  who: Actor,
  wanted: readonly Membership[],
  had: readonly Membership[] = [],
): Membership[] {
  return wanted.map((m) => {
    const { organization, team, role } = m
    const row = team === undefined ? undefined : directory.get('team', team)
    const of = row?.organization ?? organization
    const known =
      (team === undefined ||
        (row !== undefined && (organization === undefined || organization === row.organization))) &&
      (of === undefined || directory.get('organization', of) !== undefined)
    const full: Membership = {
      ...(of === undefined ? {} : { organization: of }),
      ...(team === undefined ? {} : { team }),
      role,
    }
    if (had.some((old) => same(old, full))) return full
    if (!known || (of !== undefined && !may(who, 'manage', full))) {
      throw failure('not_found', { what: team === undefined ? `organization "${organization}"` : `team "${team}"` })
    }
    if (!mayGrant(who, full)) forbidden(`The role "${role}" goes beyond your own there.`)
    return full
  })
}
const same = (a: Membership, b: Membership): boolean =>
  a.organization === b.organization && a.team === b.team && a.role === b.role

/** An owner must remain: the admin key is one, so this is about what a manager may take from others. */
function checkTaken(who: Actor, before: readonly Membership[], after: readonly Membership[]): void {
  const taken = before.find((old) => !after.some((m) => same(m, old)) && !mayGrant(who, old))
  if (taken) forbidden(`The role "${taken.role}" there is not yours to take.`)
}

function endSessions(context: AdminContext, call: CoreCall, user: string): void {
  const { directory } = context.gateway.store
  directory.change({ actor: call.actor, action: 'session.end' }, (edit) => {
    for (const row of edit.list('session', { user, limit: 10_000 })) edit.remove('session', row.id)
  })
}

export const userRoutes: readonly CoreRoute[] = [
  {
    method: 'GET',
    path: 'users',
    needs: 'signed-in',
    summary: 'The users that you may see, of all organizations or of one.',
    query: Type.Object({ organization: Type.Optional(Id), email: Type.Optional(Type.String()), ...Page }, closed),
    answer: Type.Object({ users: Type.Array(UserRow), next: Type.Union([Type.String(), Type.Null()]) }, closed),
    example: { users: [example], next: null },
    handle({ gateway }, { who, query }) {
      const page = pageOf(query)
      const { organization, email } = query as { organization?: string; email?: string }
      const { directory } = gateway.store
      const asked =
        email !== undefined
          ? { name: email.toLowerCase() }
          : organization !== undefined
            ? { memberOf: organization }
            : {}
      if (may(who, 'read', { organization })) return paged('users', directory.list('user', { ...asked, ...page }), page)
      const places =
        organization === undefined ? [...new Set(who.memberships.map((m) => m.organization))] : [organization]
      const near = places.flatMap((id) =>
        id === undefined ? [] : directory.list('user', { memberOf: id, limit: 10_000 }),
      )
      const self = who.user === undefined ? undefined : directory.get('user', who.user)
      const unique = new Map([...near, ...(self ? [self] : [])].map((row) => [row.id, row]))
      const seen = [...unique.values()].filter(
        (row) => seesUser(who, row) && (email === undefined || row.email === email.toLowerCase()),
      )
      return { users: seen.map(shown), next: null }
    },
  },
  {
    method: 'POST',
    path: 'users',
    needs: 'signed-in',
    row: true,
    summary: 'Makes a user, or a service account (`kind: "service"`), which owns keys and cannot sign in.',
    body: UserDraft,
    answer: UserRow,
    example: { email: 'ada@example.com', memberships: [{ organization: 'acme', role: 'member' }] },
    async handle(context, call) {
      const asked = parseStrict(UserDraft, call.body) as Partial<User> & { password?: string }
      const { id, password, email, kind = 'user', memberships = [], ...fields } = asked
      if (kind === 'service' && (password !== undefined || email !== undefined)) {
        throw badRequest('A service account has no e-mail address and no password.', 'kind')
      }
      if (password !== undefined && email === undefined) throw badRequest('Whoever signs in needs an "email".', 'email')
      if (!may(call.who, 'manage', INSTANCE) && memberships.length === 0) {
        forbidden('Give the user a role in a place that you manage.')
      }
      if (fields.ipRanges) addressList(fields.ipRanges)
      const draft: Draft<'user'> = {
        ...fields,
        id: newId(id, fields.name ?? email?.split('@', 1)[0]),
        kind,
        ...(email === undefined ? {} : { email: email.toLowerCase() }),
        memberships: granted(context.gateway.store.directory, call.who, memberships),
      }
      const proof = password === undefined ? undefined : await passwordProof(password)
      return shown(change(context, call, 'user.create', (edit) => edit.insert('user', draft, proof)))
    },
  },
  {
    method: 'GET',
    path: 'users/:id',
    needs: 'signed-in',
    row: true,
    summary: 'One user.',
    answer: UserRow,
    example,
    handle: (context, { who, params }) => shown(found(context, 'user', params.id, (row) => seesUser(who, row))),
  },
  {
    method: 'PUT',
    path: 'users/:id',
    needs: 'signed-in',
    row: true,
    summary: 'Changes a user: absent fields stay, null takes one away; `memberships` are replaced as a whole.',
    body: UserChange,
    answer: UserRow,
    example: { memberships: [{ organization: 'acme', role: 'admin' }] },
    handle(context, call) {
      const row = found(context, 'user', call.params.id, (one) => seesUser(call.who, one))
      const asked = parseStrict(UserChange, call.body) as Partial<User>
      const { memberships, ...fields } = asked
      // Roles are each their own place's; everything else belongs to whoever manages all of the user.
      if (Object.keys(fields).length > 0 && !managesUser(call.who, row)) {
        forbidden('This user has roles that are not yours to manage.')
      }
      if (fields.ipRanges) addressList(fields.ipRanges)
      if (typeof fields.email === 'string') (fields as { email: string }).email = fields.email.toLowerCase()
      const after = memberships && granted(context.gateway.store.directory, call.who, memberships, row.memberships)
      if (after) checkTaken(call.who, row.memberships, after)
      const next = merged<'user'>(row, after ? { ...fields, memberships: after } : fields)
      const done = change(context, call, 'user.update', (edit) => edit.update('user', next, expected(call.expected)))
      return shown(done)
    },
  },
  {
    method: 'PUT',
    path: 'users/:id/password',
    needs: 'signed-in',
    summary: 'Sets a password, and ends all sessions of the user. Your own needs the current one.',
    body: PasswordChange,
    answer: Type.Object({ changed: Type.Boolean() }, closed),
    example: { password: '…' },
    async handle(context, call) {
      const { password, current } = parseStrict(PasswordChange, call.body)
      const { directory } = context.gateway.store
      const row = found(context, 'user', call.params.id, (one) => seesUser(call.who, one))
      if (row.id === call.who.user) {
        context.attempts.check(row.email ?? row.id, call.request.ip)
        if (!(await isPassword(current ?? '', directory.proof('user', row.id)))) {
          context.attempts.failed(row.email ?? row.id, call.request.ip)
          throw failure('sign_in_failed')
        }
      } else if (!managesUser(call.who, row)) forbidden('This user has roles that are not yours to manage.')
      if (row.kind === 'service' || row.email === undefined)
        throw badRequest('This user does not sign in with a password.')
      const proof = await passwordProof(password)
      change(context, call, 'user.password', (edit) => edit.update('user', draftOf<'user'>(row), { proof }))
      if (!call.dry) endSessions(context, call, row.id)
      return { changed: !call.dry }
    },
  },
  {
    method: 'DELETE',
    path: 'users/:id',
    needs: 'signed-in',
    summary: 'Removes a user with its keys, limits, budgets and sessions.',
    query: CutQuery,
    answer: Removed,
    example: {},
    handle(context, call) {
      const { id } = managed(context, call)
      change(context, call, 'user.delete', (edit) => {
        for (const key of edit.list('key', { user: id, limit: 1_000_000 })) removeKey(edit, key.id)
        for (const row of edit.list('session', { user: id, limit: 10_000 })) edit.remove('session', row.id)
        removeFigures(edit, `user:${id}`)
        edit.remove('user', id)
      })
      return { removed: !call.dry, ...cutIf(context, call, (who) => who.user === id) }
    },
  },
]
