import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anchorOf } from './directory.ts'
import type { Exchange, Principal } from './exchange.ts'
import { anchorsOf, countersOf, endUserOf, scopesOf } from './scopes.ts'

const exchange = (principal: Principal | undefined, json: object = {}, headers: Record<string, string> = {}) =>
  ({ model: 'm', json, headers, ...(principal ? { principal } : {}) }) as unknown as Exchange
const principal: Principal = {
  kind: 'key',
  id: 'k1',
  organization: 'acme',
  team: 'ml',
  user: 'ada',
  scope: 'key:k1',
  tags: ['prod'],
}

test('the chain goes from the instance to the end user, and is computed once', () => {
  const x = exchange(principal, { user: 'end-1' }, { 'x-litellm-tags': 'batch, prod' })
  const scopes = scopesOf(x)
  assert.deepEqual(scopes, {
    organization: 'acme',
    team: 'ml',
    user: 'ada',
    key: 'k1',
    endUser: 'end-1',
    model: 'm',
    tags: ['batch', 'prod'],
  })
  assert.equal(scopesOf(x), scopes)
  assert.deepEqual(anchorsOf(scopes), [
    'instance',
    'organization:acme',
    'team:ml',
    'user:ada',
    'key:k1',
    'endUser:end-1',
  ])
  assert.deepEqual(scopesOf(exchange({ kind: 'local', id: 'local', scope: 'local' })), { model: 'm', tags: [] })
})

test('who is not known yet is asked again later', () => {
  const x = exchange(undefined)
  assert.equal(scopesOf(x).organization, undefined)
  x.principal = principal
  assert.equal(scopesOf(x).organization, 'acme')
})

test('end users are named by the known headers, else by the body', () => {
  for (const name of ['x-litellm-customer-id', 'x-litellm-end-user-id', 'helicone-user-id', 'x-bf-customer-id']) {
    assert.equal(endUserOf({ [name]: 'h' }, { user: 'b' }), 'h', name)
  }
  assert.equal(endUserOf({ 'x-portkey-metadata': '{"_user":"p"}' }, {}), 'p')
  assert.equal(endUserOf({ 'x-portkey-metadata': 'no json' }, { user: 'b' }), 'b')
  assert.equal(endUserOf({ 'cf-aig-metadata': '{"user":"c"}' }, {}), 'c')
  assert.equal(endUserOf({}, { metadata: { user_id: 'm' } }), 'm')
  assert.equal(endUserOf({}, { safety_identifier: 's' }), 's')
  assert.equal(endUserOf({}, { user: 3, metadata: [] }), undefined)
  assert.equal(endUserOf({}, { user: 'x'.repeat(1_000) })?.length, 256)
})

test('a selector hangs on the narrowest place of the tree that it names', () => {
  assert.equal(anchorOf({}), 'instance')
  assert.equal(anchorOf({ model: 'm', tag: 't' }), 'instance')
  assert.equal(anchorOf({ endUser: '*' }), 'instance')
  assert.equal(anchorOf({ organization: 'o', team: 't', model: 'm' }), 'team:t')
  assert.equal(anchorOf({ key: 'k', endUser: '*' }), 'key:k')
})

test('a selector has a counter for each value that it leaves open, and none for others', () => {
  const scopes = scopesOf(exchange(principal, { user: 'e|1' }, { 'x-litellm-tags': 'batch' }))
  assert.deepEqual(countersOf({}, scopes), [''])
  assert.deepEqual(countersOf({ team: 'ml', model: '*' }, scopes), ['team=ml|model=m'])
  assert.deepEqual(countersOf({ team: 'other' }, scopes), [])
  assert.deepEqual(countersOf({ endUser: '*' }, scopes), ['endUser=e%7C1'])
  assert.deepEqual(countersOf({ tag: '*' }, scopes), ['tag=batch', 'tag=prod'])
  assert.deepEqual(countersOf({ tag: 'prod', key: 'k1' }, scopes), ['key=k1|tag=prod'])
  assert.deepEqual(countersOf({ upstream: 'u' }, scopes), [])
  assert.deepEqual(countersOf({ upstream: '*' }, scopes, 'u'), ['upstream=u'])
})
