/** Teams of an organization: made and bounded by whoever manages the organization. */
import { Type } from 'typebox'
import { addressList } from '../../../core/addresses.ts'
import type { Directory, Edit, Team } from '../../../core/directory.ts'
import { type Actor, may } from '../../../core/roles.ts'
import { parseStrict } from '../../../core/settings.ts'
import type { CoreRoute } from '../route.ts'
import { checkCeilings } from './ceilings.ts'
import { expected, seesOrganization } from './organizations.ts'
import { change, cutIf, forbidden, found, merged, newId, paged, pageOf, shown } from './rows.ts'
import { CutQuery, closed, Id, Page, Removed, TeamChange, TeamDraft, TeamRow } from './schemas.ts'

const example = { id: 'ml', organization: 'acme', name: 'Machine learning', models: ['gpt-4o*'] }

export const seesTeam = (who: Actor, { id, organization }: Pick<Team, 'id' | 'organization'>): boolean =>
  may(who, 'read', { organization, team: id }) || who.memberships.some(({ team }) => team === id)

function bounded(directory: Pick<Directory, 'get'>, team: Partial<Team> & { organization: string }): void {
  if (team.ipRanges) addressList(team.ipRanges)
  const organization = directory.get('organization', team.organization)
  checkCeilings(team, organization ? [organization] : [], true)
}

/** With the keys in it, and the figures that hang on it and on them. */
export function removeTeam(edit: Edit, id: string): void {
  for (const key of edit.list('key', { team: id, limit: 1_000_000 })) removeKey(edit, key.id)
  removeFigures(edit, `team:${id}`)
  edit.remove('team', id)
}
export function removeKey(edit: Edit, id: string): void {
  removeFigures(edit, `key:${id}`)
  edit.remove('key', id)
}
export function removeFigures(edit: Edit, anchor: string): void {
  for (const kind of ['limit', 'budget'] as const) {
    for (const figure of edit.list(kind, { anchor, limit: 100_000 })) edit.remove(kind, figure.id)
  }
}

export const teamRoutes: readonly CoreRoute[] = [
  {
    method: 'GET',
    path: 'teams',
    needs: 'signed-in',
    summary: 'The teams that you may see, of all organizations or of one.',
    query: Type.Object({ organization: Type.Optional(Id), ...Page }, closed),
    answer: Type.Object({ teams: Type.Array(TeamRow), next: Type.Union([Type.String(), Type.Null()]) }, closed),
    example: { teams: [example], next: null },
    handle({ gateway }, { who, query }) {
      const page = pageOf(query)
      const { organization } = query as { organization?: string }
      const { directory } = gateway.store
      if (may(who, 'read', { organization })) {
        return paged('teams', directory.list('team', { ...(organization ? { organization } : {}), ...page }), page)
      }
      const all = who.memberships.filter((m) => m.team !== undefined || may(who, 'read', m))
      const rows = all.flatMap((m) =>
        m.team === undefined
          ? directory.list('team', { ...(m.organization ? { organization: m.organization } : {}), limit: 1_000 })
          : (directory.get('team', m.team) ?? []),
      )
      const unique = new Map(rows.map((row) => [row.id, row]))
      const mine = [...unique.values()].filter((row) => organization === undefined || row.organization === organization)
      return { teams: mine.map(shown), next: null }
    },
  },
  {
    method: 'POST',
    path: 'teams',
    needs: 'signed-in',
    row: true,
    summary: 'Makes a team in an organization.',
    body: TeamDraft,
    answer: TeamRow,
    example,
    handle(context, call) {
      const { id, ...draft } = parseStrict(TeamDraft, call.body) as Partial<Team> & { organization: string }
      const { organization } = draft
      found(context, 'organization', organization, (row) => seesOrganization(call.who, row))
      if (!may(call.who, 'manage', { organization })) forbidden(`You do not manage organization "${organization}".`)
      bounded(context.gateway.store.directory, draft)
      return shown(
        change(context, call, 'team.create', (edit) => edit.insert('team', { ...draft, id: newId(id, draft.name) })),
      )
    },
  },
  {
    method: 'GET',
    path: 'teams/:id',
    needs: 'signed-in',
    row: true,
    summary: 'One team.',
    answer: TeamRow,
    example,
    handle: (context, { who, params }) => shown(found(context, 'team', params.id, (row) => seesTeam(who, row))),
  },
  {
    method: 'PUT',
    path: 'teams/:id',
    needs: 'signed-in',
    row: true,
    summary: 'Changes a team: absent fields stay, null takes one away. For whoever manages its organization.',
    body: TeamChange,
    answer: TeamRow,
    example: { models: ['gpt-4o*'], blocked: false },
    handle(context, call) {
      const row = found(context, 'team', call.params.id, (one) => seesTeam(call.who, one))
      const { organization } = row
      if (!may(call.who, 'manage', { organization })) forbidden(`You do not manage organization "${organization}".`)
      const next = merged<'team'>(row, parseStrict(TeamChange, call.body))
      bounded(context.gateway.store.directory, next)
      return shown(change(context, call, 'team.update', (edit) => edit.update('team', next, expected(call.expected))))
    },
  },
  {
    method: 'DELETE',
    path: 'teams/:id',
    needs: 'signed-in',
    summary: 'Removes a team with its keys, limits and budgets; the next request of each key is refused.',
    query: CutQuery,
    answer: Removed,
    example: {},
    handle(context, call) {
      const { id, organization } = found(context, 'team', call.params.id, (one) => seesTeam(call.who, one))
      if (!may(call.who, 'manage', { organization })) forbidden(`You do not manage organization "${organization}".`)
      change(context, call, 'team.delete', (edit) => removeTeam(edit, id))
      return { removed: !call.dry, ...cutIf(context, call, (who) => who.team === id) }
    },
  },
]
