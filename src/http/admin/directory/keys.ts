/**
 * Virtual keys. Whoever manages a place makes keys in it for anybody; a member makes, sees and takes back its own. The key
 * itself is in the answer to its making or rotation, and nowhere else.
 */
import { Type } from 'typebox'
import { addressList } from '../../../core/addresses.ts'
import type { Draft, Key } from '../../../core/directory.ts'
import { badRequest } from '../../../core/errors.ts'
import { type Actor, may } from '../../../core/roles.ts'
import { parseStrict } from '../../../core/settings.ts'
import type { AdminContext, CoreCall, CoreRoute } from '../route.ts'
import { checkCeilings, parentsOf } from './ceilings.ts'
import { expected, seesOrganization } from './organizations.ts'
import { change, cutIf, draftOf, forbidden, found, merged, paged, pageOf, shown, timeOf } from './rows.ts'
import { Cut, CutQuery, closed, Id, KeyChange, KeyDraft, KeyRow, KeyShown, Page, Removed, Rotation } from './schemas.ts'
import { removeKey, seesTeam } from './teams.ts'

const example = { id: 'Ab3dEf6hIj9k', name: 'chat app', team: 'ml', organization: 'acme', models: ['gpt-4o*'] }
const exampleShown = { key: 'sk-sy-…', ...example }

const isOwn = (who: Actor, row: Pick<Key, 'user'>): boolean => row.user !== undefined && row.user === who.user
const seesKey = (who: Actor, row: Key): boolean => isOwn(who, row) || may(who, 'read', row)
const managesKey = (who: Actor, row: Key): boolean =>
  may(who, 'manage', row) || (isOwn(who, row) && may(who, 'use', row))

function managed(context: AdminContext, call: CoreCall): Key {
  const row = found(context, 'key', call.params.id, (one) => seesKey(call.who, one))
  if (!managesKey(call.who, row)) forbidden('Your role lets you see this key, not change it.')
  return row
}

type Asked = Partial<Omit<Key, 'expiresAt'>> & { expiresAt?: string; expiresInSeconds?: number }

/** Where the new key belongs: as asked, and as far as the actor may. */
function placeFor(context: AdminContext, call: CoreCall, asked: Asked): Pick<Key, 'organization' | 'team' | 'user'> {
  const { who } = call
  let { organization, team, user } = asked
  if (organization === undefined && team === undefined) {
    // Somebody who may make keys in one place only need not name it.
    const [only, ...more] = who.memberships.filter((m) => may(who, 'use', m))
    if (only && more.length === 0) ({ organization, team } = only)
  }
  if (team !== undefined) {
    const row = found(
      context,
      'team',
      team,
      (one) => seesTeam(who, one) || may(who, 'use', { organization: one.organization }),
    )
    if (organization !== undefined && organization !== row.organization) {
      throw badRequest(`Team "${team}" is not in organization "${organization}".`, 'organization')
    }
    organization = row.organization
  } else if (organization !== undefined)
    found(context, 'organization', organization, (one) => seesOrganization(who, one))
  const place = { organization, team }
  if (!may(who, 'manage', place)) {
    if (!may(who, 'use', place)) forbidden('Your role does not let you make keys there.')
    if (user !== undefined && user !== who.user) forbidden('You make keys for yourself only.')
    user = who.user
  } else if (user !== undefined) {
    found(
      context,
      'user',
      user,
      (row) => row.id === who.user || may(who, 'manage', {}) || row.memberships.some((m) => may(who, 'manage', m)),
    )
  }
  return {
    ...(organization === undefined ? {} : { organization }),
    ...(team === undefined ? {} : { team }),
    ...(user === undefined ? {} : { user }),
  }
}

function check(context: AdminContext, who: Actor, draft: Draft<'key'>): void {
  if (draft.ipRanges) addressList(draft.ipRanges)
  checkCeilings(draft, parentsOf(context.gateway.store.directory, draft), may(who, 'manage', draft))
}

export const keyRoutes: readonly CoreRoute[] = [
  {
    method: 'GET',
    path: 'keys',
    needs: 'signed-in',
    summary: 'The keys that you may see: your own, and those of places that your role shows you.',
    query: Type.Object(
      { organization: Type.Optional(Id), team: Type.Optional(Id), user: Type.Optional(Id), ...Page },
      closed,
    ),
    answer: Type.Object({ keys: Type.Array(KeyRow), next: Type.Union([Type.String(), Type.Null()]) }, closed),
    example: { keys: [example], next: null },
    handle({ gateway }, { who, query }) {
      const page = pageOf(query)
      const { organization, team, user } = query as { organization?: string; team?: string; user?: string }
      const { directory } = gateway.store
      const place =
        team === undefined ? { organization } : { organization: directory.get('team', team)?.organization, team }
      // Whoever sees no place sees what is theirs.
      const whose = may(who, 'read', place) ? user : who.user
      if (whose === undefined && !may(who, 'read', place)) return { keys: [], next: null }
      const asked = {
        ...(organization === undefined ? {} : { organization }),
        ...(team === undefined ? {} : { team }),
        ...(whose === undefined ? {} : { user: whose }),
      }
      return paged('keys', directory.list('key', { ...asked, ...page }), page)
    },
  },
  {
    method: 'POST',
    path: 'keys',
    needs: 'signed-in',
    row: true,
    summary: 'Makes a key. It is in this answer and never shown again.',
    body: KeyDraft,
    answer: KeyShown,
    example: exampleShown,
    handle(context, call) {
      const asked = parseStrict(KeyDraft, call.body) as Asked
      const { expiresAt, expiresInSeconds, organization: _, team: __, user: ___, ...fields } = asked
      const until =
        expiresAt !== undefined
          ? timeOf(expiresAt, 'expiresAt')
          : expiresInSeconds && context.now() + expiresInSeconds * 1_000
      const minted = context.gateway.keys.mint()
      const draft = {
        ...fields,
        id: minted.id,
        ...placeFor(context, call, asked),
        ...(until ? { expiresAt: until } : {}),
      } as Draft<'key'>
      check(context, call.who, draft)
      const row = change(context, call, 'key.create', (edit) => edit.insert('key', draft, minted.proof))
      return { key: call.dry ? 'sk-sy-…' : minted.key, ...shown(row) }
    },
  },
  {
    method: 'GET',
    path: 'keys/:id',
    needs: 'signed-in',
    row: true,
    summary: 'One key, without its secret.',
    answer: KeyRow,
    example,
    handle: (context, { who, params }) => shown(found(context, 'key', params.id, (row) => seesKey(who, row))),
  },
  {
    method: 'PUT',
    path: 'keys/:id',
    needs: 'signed-in',
    row: true,
    summary: 'Changes a key: absent fields stay, null takes one away. It acts on the next request.',
    body: KeyChange,
    answer: KeyRow,
    example: { models: ['gpt-4o-mini'], expiresAt: '2027-01-01T00:00:00Z' },
    handle(context, call) {
      const row = managed(context, call)
      const fields = parseStrict(KeyChange, call.body) as Record<string, unknown>
      if (typeof fields.expiresAt === 'string') fields.expiresAt = timeOf(fields.expiresAt, 'expiresAt')
      if (fields.blocked !== undefined && fields.blocked !== true) refuseUnblocking(call.who, row)
      const next = merged<'key'>(row, fields)
      check(context, call.who, next)
      return shown(change(context, call, 'key.update', (edit) => edit.update('key', next, expected(call.expected))))
    },
  },
  {
    method: 'POST',
    path: 'keys/:id/rotate',
    needs: 'signed-in',
    row: true,
    summary:
      'Gives the key a new secret, in this answer only; the old one is good until the overlap ends (a day, unless told).',
    body: Rotation,
    answer: KeyShown,
    example: { overlapSeconds: 86_400 },
    handle(context, call) {
      const row = managed(context, call)
      const { overlapSeconds = 86_400 } = parseStrict(Rotation, call.body)
      const { keys } = context.gateway
      const minted = keys.mint(row.id)
      const next = { ...draftOf<'key'>(row), overlapUntil: context.now() + overlapSeconds * 1_000 }
      const proof = keys.rotated(row.id, minted)
      const rotated = change(context, call, 'key.rotate', (edit) =>
        edit.update('key', next, { ...expected(call.expected), proof }),
      )
      return { key: call.dry ? 'sk-sy-…' : minted.key, ...shown(rotated) }
    },
  },
  ...(['block', 'unblock'] as const).map(
    (action): CoreRoute => ({
      method: 'POST',
      path: `keys/:id/${action}`,
      needs: 'signed-in',
      row: true,
      summary: action === 'block' ? 'Blocks a key, from its next request on.' : 'Lets a blocked key in again.',
      ...(action === 'block' ? { body: Cut } : {}),
      answer: Type.Object({ ...KeyRow.properties, ended: Type.Optional(Type.Integer()) }, closed),
      example: action === 'block' ? { cut: true } : example,
      handle(context, call) {
        if (action === 'block') parseStrict(Cut, call.body)
        const row = managed(context, call)
        if (action === 'unblock') refuseUnblocking(call.who, row)
        const next = merged<'key'>(row, { blocked: action === 'block' ? true : null })
        const done = change(context, call, `key.${action}`, (edit) => edit.update('key', next, expected(call.expected)))
        const cut = action === 'block' ? cutIf(context, call, (who) => who.kind === 'key' && who.id === row.id) : {}
        return { ...shown(done), ...cut }
      },
    }),
  ),
  {
    method: 'DELETE',
    path: 'keys/:id',
    needs: 'signed-in',
    summary: 'Removes a key with its limits and budgets; what it spent stays in the ledger.',
    query: CutQuery,
    answer: Removed,
    example: {},
    handle(context, call) {
      const { id } = managed(context, call)
      change(context, call, 'key.delete', (edit) => removeKey(edit, id))
      return { removed: !call.dry, ...cutIf(context, call, (who) => who.kind === 'key' && who.id === id) }
    },
  },
]

/** Somebody who manages the place may have blocked it, so its owner alone does not undo that. */
function refuseUnblocking(who: Actor, row: Key): void {
  if (row.blocked && !may(who, 'manage', row)) forbidden('A blocked key is let in again by whoever manages its place.')
}
