import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Membership, ROLES } from './directory.ts'
import { ACTIONS, type Actor, ADMIN, may, mayGrant, type Place } from './roles.ts'

const places: readonly Place[] = [
  {},
  { organization: 'a' },
  { organization: 'b' },
  { organization: 'a', team: 'a1' },
  { organization: 'a', team: 'a2' },
  { organization: 'b', team: 'b1' },
]
const membership = fc
  .record({ role: fc.constantFrom(...ROLES), place: fc.constantFrom(...places) })
  .map(({ role, place }) => ({ role, ...place }) as Membership)
const actor = fc.array(membership, { maxLength: 4 }).map((memberships): Actor => ({ name: 'x', memberships }))

test('A7: whoever is given a role by somebody can do nothing, anywhere, that the giver cannot', () => {
  let granted = 0
  fc.assert(
    fc.property(actor, fc.array(membership, { maxLength: 3 }), (giver, wanted) => {
      const given = wanted.filter((m) => mayGrant(giver, m))
      granted += given.length
      const child: Actor = { name: 'child', memberships: given }
      for (const place of places) {
        for (const action of ACTIONS) if (may(child, action, place)) assert.ok(may(giver, action, place))
        for (const role of ROLES) {
          const further = { role, ...place } as Membership
          if (mayGrant(child, further)) assert.ok(mayGrant(giver, further))
        }
      }
    }),
    { numRuns: 3_000 },
  )
  assert.ok(granted > 500)
})

test('a role holds at its place and below, never beside or above', () => {
  const admin = (m: Place): Actor => ({ name: 'x', memberships: [{ role: 'admin', ...m } as Membership] })
  const table = places.map((at) => places.map((where) => may(admin(at), 'manage', where)))
  assert.deepEqual(table, [
    [true, true, true, true, true, true],
    [false, true, false, true, true, false],
    [false, false, true, false, false, true],
    [false, false, false, true, false, false],
    [false, false, false, false, true, false],
    [false, false, false, false, false, true],
  ])
})

test('the roles: a viewer and an auditor change nothing, a member has only what is its own', () => {
  const allowed = Object.fromEntries(
    ROLES.map((role) => [role, ACTIONS.filter((action) => may({ name: 'x', memberships: [{ role }] }, action, {}))]),
  )
  assert.deepEqual(allowed, {
    owner: ['read', 'usage', 'audit', 'use', 'manage', 'own'],
    admin: ['read', 'usage', 'audit', 'use', 'manage'],
    member: ['use'],
    viewer: ['read', 'usage'],
    auditor: ['usage', 'audit'],
  })
  assert.ok(ACTIONS.every((action) => may(ADMIN, action, { organization: 'any', team: 'any' })))
})
