/** Organizations: made and bounded by the administrators of the instance, seen by whoever has a role in them. */
import { Type } from 'typebox'
import { addressList } from '../../../core/addresses.ts'
import type { Organization } from '../../../core/directory.ts'
import { failure } from '../../../core/errors.ts'
import { type Actor, INSTANCE, may } from '../../../core/roles.ts'
import { parseStrict } from '../../../core/settings.ts'
import type { CoreRoute } from '../route.ts'
import { change, forbidden, found, merged, newId, paged, pageOf, shown } from './rows.ts'
import { closed, OrganizationChange, OrganizationDraft, OrganizationRow, Page, Removed } from './schemas.ts'

const example = { id: 'acme', name: 'Acme', models: ['gpt-4o*'] }

export const seesOrganization = (who: Actor, { id }: Pick<Organization, 'id'>): boolean =>
  may(who, 'read', { organization: id }) || who.memberships.some(({ organization }) => organization === id)

export const organizationRoutes: readonly CoreRoute[] = [
  {
    method: 'GET',
    path: 'organizations',
    needs: 'signed-in',
    summary: 'The organizations that you may see.',
    query: Type.Object(Page, closed),
    answer: Type.Object(
      { organizations: Type.Array(OrganizationRow), next: Type.Union([Type.String(), Type.Null()]) },
      closed,
    ),
    example: { organizations: [example], next: null },
    handle({ gateway }, { who, query }) {
      const page = pageOf(query)
      const { directory } = gateway.store
      if (may(who, 'read', INSTANCE)) return paged('organizations', directory.list('organization', page), page)
      const own = [...new Set(who.memberships.map(({ organization }) => organization))]
      const rows = own.flatMap((id) => (id === undefined ? [] : (directory.get('organization', id) ?? [])))
      return { organizations: rows.map(shown), next: null }
    },
  },
  {
    method: 'POST',
    path: 'organizations',
    row: true,
    summary: 'Makes an organization.',
    body: OrganizationDraft,
    answer: OrganizationRow,
    example,
    handle(context, call) {
      const { id, ...draft } = parseStrict(OrganizationDraft, call.body) as Partial<Organization>
      if (draft.ipRanges) addressList(draft.ipRanges)
      return shown(
        change(context, call, 'organization.create', (edit) =>
          edit.insert('organization', { ...draft, id: newId(id, draft.name) }),
        ),
      )
    },
  },
  {
    method: 'GET',
    path: 'organizations/:id',
    needs: 'signed-in',
    row: true,
    summary: 'One organization.',
    answer: OrganizationRow,
    example,
    handle: (context, { who, params }) =>
      shown(found(context, 'organization', params.id, (row) => seesOrganization(who, row))),
  },
  {
    method: 'PUT',
    path: 'organizations/:id',
    needs: 'signed-in',
    row: true,
    summary: 'Changes an organization: absent fields stay, null takes one away. For administrators of the instance.',
    body: OrganizationChange,
    answer: OrganizationRow,
    example: { models: ['gpt-4o*'], blocked: false },
    handle(context, call) {
      const row = found(context, 'organization', call.params.id, (one) => seesOrganization(call.who, one))
      if (!may(call.who, 'manage', INSTANCE)) forbidden('Only administrators of the instance change an organization.')
      const fields = parseStrict(OrganizationChange, call.body) as Partial<Organization>
      if (fields.ipRanges) addressList(fields.ipRanges)
      return shown(
        change(context, call, 'organization.update', (edit) =>
          edit.update('organization', merged<'organization'>(row, fields), expected(call.expected)),
        ),
      )
    },
  },
  {
    method: 'DELETE',
    path: 'organizations/:id',
    needs: 'signed-in',
    summary: 'Removes an organization that has no teams and no keys.',
    answer: Removed,
    example: {},
    handle(context, call) {
      const { id } = found(context, 'organization', call.params.id, (one) => seesOrganization(call.who, one))
      if (!may(call.who, 'own', INSTANCE)) forbidden('Only owners of the instance remove an organization.')
      change(context, call, 'organization.delete', (edit) => {
        for (const kind of ['team', 'key'] as const) {
          if (edit.list(kind, { organization: id, limit: 1 }).length > 0) {
            throw failure('conflict', { problem: `Organization "${id}" still has a ${kind}; remove those first.` })
          }
        }
        for (const kind of ['limit', 'budget'] as const) {
          for (const figure of edit.list(kind, { anchor: `organization:${id}`, limit: 100_000 }))
            edit.remove(kind, figure.id)
        }
        edit.remove('organization', id)
      })
      return { removed: !call.dry }
    },
  },
]

export const expected = (version: number | undefined): { expected?: number } =>
  version === undefined ? {} : { expected: version }
