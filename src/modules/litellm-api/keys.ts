/** `/key/…`: keys made here are keys like all others. */
import type { Key } from '../../core/directory.ts'
import { badRequest, failure } from '../../core/errors.ts'
import type { AdminCall, AdminRoute, Host } from '../../core/module.ts'
import type { JsonObject } from '../../core/request.ts'
import { momentAfter, secondsOf } from './durations.ts'
import * as fields from './fields.ts'
import { checkFigures, setFigures } from './figures.ts'
import { fieldsOf, keyInfo, keyNamed, keysAliased, userNamed, withoutNulls } from './rows.ts'
import { together, type Undo } from './steps.ts'

/** Makes a key with its money and rates; what is answered has the key itself. */
export async function generateKey(host: Host, call: AdminCall, asked: JsonObject, undo: Undo): Promise<JsonObject> {
  checkFigures(call, asked)
  const { duration, user_id, team_id, organization_id } = asked as Record<string, string | undefined>
  const until = duration === undefined ? undefined : momentAfter(duration, host.now())
  const owner = user_id === undefined ? undefined : await ownerOf(host, call, user_id, team_id, undo)
  const made = (await call.api('POST', 'keys', {
    ...withoutNulls(fieldsOf(asked, 'key_alias')),
    ...(team_id === undefined ? {} : { team: team_id }),
    ...(organization_id === undefined ? {} : { organization: organization_id }),
    ...(owner === undefined ? {} : { user: owner }),
    ...(until === undefined ? {} : { expiresAt: new Date(until).toISOString() }),
  })) as { id: string; key: string }
  undo(() => call.api('DELETE', `keys/${made.id}`))
  await setFigures(host, call, { key: made.id }, asked, undo)
  return { key: made.key, ...(await keyInfo(host, host.directory.get('key', made.id) as Key)) }
}

/** Scripts name whoever their own house knows: one that is not known here is made, in the team of the key. */
async function ownerOf(
  host: Host,
  call: AdminCall,
  name: string,
  team: string | undefined,
  undo: Undo,
): Promise<string> {
  const known = userNamed(host, name)
  if (known) return known.id
  const email = name.includes('@') ? name.toLowerCase() : undefined
  const { id } = (await call.api('POST', 'users', {
    ...(email === undefined ? { id: name } : { email, name: email }),
    memberships: team === undefined ? [] : [{ team, role: 'member' }],
  })) as { id: string }
  undo(() => call.api('DELETE', `users/${id}`))
  return id
}

async function updateKey(host: Host, call: AdminCall, row: Key, asked: JsonObject, undo: Undo): Promise<JsonObject> {
  checkFigures(call, asked)
  for (const [field, now] of [
    ['team_id', row.team],
    ['organization_id', row.organization],
    ['user_id', row.user],
  ] as const) {
    const wanted = asked[field]
    if (wanted === undefined || wanted === null) continue
    const same = field === 'user_id' ? userNamed(host, wanted as string)?.id === now : wanted === now
    if (!same) {
      throw badRequest(`"${field}": a key stays where it was made. Make another there, and delete this one.`, field)
    }
  }
  const { duration } = asked as { duration?: string | null }
  const change: JsonObject = {
    ...fieldsOf(asked, 'key_alias'),
    ...(duration === undefined
      ? {}
      : { expiresAt: duration === null ? null : new Date(momentAfter(duration, host.now())).toISOString() }),
  }
  if (Object.keys(change).length > 0) {
    await call.api('PUT', `keys/${row.id}`, change)
    const { expiresAt, ...before } = row
    const former: Record<string, unknown> = {
      ...before,
      expiresAt: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
    }
    undo(() =>
      call.api(
        'PUT',
        `keys/${row.id}`,
        Object.fromEntries(Object.keys(change).map((name) => [name, former[name] ?? null])) as JsonObject,
      ),
    )
  }
  await setFigures(host, call, { key: row.id }, asked, undo)
  return keyInfo(host, host.directory.get('key', row.id) as Key)
}

async function regenerate(host: Host, call: AdminCall, named: string | undefined): Promise<JsonObject> {
  const { key = named, grace_period, ...asked } = fields.honoured(call.body, 'key') as Record<string, string>
  if (key === undefined) throw badRequest('Name the key in the path or as "key".', 'key')
  const row = await keyNamed(host, call, key)
  const overlapSeconds = grace_period ? secondsOf(grace_period, 'grace_period') : 0
  return together(async (undo) => {
    if (Object.keys(asked).length > 0) await updateKey(host, call, row, asked, undo)
    const made = (await call.api('POST', `keys/${row.id}/rotate`, { overlapSeconds })) as { key: string }
    return { key: made.key, ...(await keyInfo(host, host.directory.get('key', row.id) as Key)) }
  })
}

const example = { key: 'sk-sy-…', key_alias: 'chat app', max_budget: 10, budget_duration: '30d', spend: 0 }

async function listed(host: Host, call: AdminCall): Promise<JsonObject> {
  const {
    page = '1',
    size = '10',
    key_alias,
    key_hash,
    return_full_object,
    ...places
  } = call.query as Record<string, string | undefined>
  const number = (text: string, name: string, most: number): number => {
    const n = Number(text)
    if (!Number.isInteger(n) || n < 1 || n > most) throw badRequest(`"${name}" is a whole number from 1 to ${most}.`)
    return n
  }
  const [at, length] = [number(page, 'page', 1_000_000), number(size, 'size', 100)]
  const query = new URLSearchParams({ limit: '1000' })
  const { user_id, team_id, organization_id } = places
  if (user_id) query.set('user', userNamed(host, user_id)?.id ?? user_id)
  if (team_id) query.set('team', team_id)
  if (organization_id) query.set('organization', organization_id)
  const found: string[] = []
  for (let after: string | null = ''; after !== null; ) {
    if (after) query.set('after', after)
    const part = (await call.api('GET', `keys?${query}`)) as { keys: { id: string; name?: string }[]; next: string }
    for (const { id, name } of part.keys) {
      if ((key_alias === undefined || name === key_alias) && (key_hash === undefined || id === key_hash)) found.push(id)
    }
    after = part.next
  }
  const shown = found.slice((at - 1) * length, at * length)
  const full = return_full_object === 'true' || return_full_object === 'True'
  const keys = full ? await Promise.all(shown.map((id) => keyInfo(host, host.directory.get('key', id) as Key))) : shown
  return { keys, total_count: found.length, current_page: at, total_pages: Math.ceil(found.length / length) }
}

export const keyRoutes: readonly AdminRoute[] = [
  fields.route({
    method: 'POST',
    path: 'key/generate',
    summary: 'Makes a key; it is in this answer and never shown again.',
    body: fields.KeyGenerate,
    example: { key_alias: 'chat app', models: ['gpt-4o-mini'], max_budget: 10, budget_duration: '30d' },
    handle: (host, call) => together((undo) => generateKey(host, call, withoutNulls(fields.honoured(call.body)), undo)),
  }),
  fields.route({
    method: 'POST',
    path: 'key/update',
    summary: 'Changes a key: absent fields stay, null takes one away.',
    body: fields.KeyUpdate,
    example: { key: 'sk-sy-…', max_budget: 20 },
    async handle(host, call) {
      const { key, ...asked } = fields.honoured(call.body, 'key') as { key: string } & JsonObject
      const row = await keyNamed(host, call, key)
      return together(async (undo) => ({ key, ...(await updateKey(host, call, row, asked, undo)) }))
    },
  }),
  fields.route({
    method: 'GET',
    path: 'key/info',
    needs: 'caller',
    summary: 'One key, by itself or by its id; without a name, the key that asks.',
    query: fields.KeyAsked,
    example: { key: 'Ab3dEf6hIj9k', info: example },
    async handle(host, call) {
      const { key } = call.query as { key?: string }
      const { caller } = call
      if (!caller) {
        if (key === undefined) throw badRequest('Name a key: ?key=….', 'key')
        return { key, info: await keyInfo(host, await keyNamed(host, call, key)) }
      }
      const own = caller.kind === 'key' ? host.directory.get('key', caller.id) : undefined
      if (!own) throw badRequest('Whoever asks has no key of this gateway.', 'key')
      const reading = key === undefined || key === own.id ? undefined : host.keys.read(key, host.now())
      if (reading && !('row' in reading && reading.row.id === own.id)) throw failure('not_found', { what: 'such key' })
      return { key: key ?? own.id, info: await keyInfo(host, own) }
    },
  }),
  fields.route({
    method: 'POST',
    path: 'key/delete',
    summary: 'Removes keys, by themselves, their ids or their aliases.',
    body: fields.KeyDelete,
    example: { keys: ['sk-sy-…'] },
    async handle(host, call) {
      const { keys, key_aliases } = call.body as { keys?: string[] | null; key_aliases?: string[] | null }
      const rows = new Map<string, string>()
      for (const key of keys ?? []) rows.set((await keyNamed(host, call, key)).id, key)
      for (const alias of key_aliases ?? []) for (const { id } of await keysAliased(host, call, alias)) rows.set(id, id)
      if (rows.size === 0) throw badRequest('Name "keys" or "key_aliases".', 'keys')
      for (const id of rows.keys()) await call.api('DELETE', `keys/${id}`)
      return { deleted_keys: [...rows.values()] }
    },
  }),
  ...(['block', 'unblock'] as const).map((action) =>
    fields.route({
      method: 'POST',
      path: `key/${action}`,
      summary: action === 'block' ? 'Blocks a key, from its next request on.' : 'Lets a blocked key in again.',
      body: fields.KeyNamed,
      example: { key: 'sk-sy-…' },
      async handle(host, call) {
        const { id } = await keyNamed(host, call, (call.body as { key: string }).key)
        await call.api('POST', `keys/${id}/${action}`, {})
        return keyInfo(host, host.directory.get('key', id) as Key)
      },
    }),
  ),
  fields.route({
    method: 'POST',
    path: 'key/regenerate',
    summary: 'Gives a key a new secret; the old one ends at once, or after `grace_period`.',
    body: fields.KeyRegenerate,
    example: { key: 'sk-sy-…', grace_period: '24h' },
    handle: (host, call) => regenerate(host, call, undefined),
  }),
  fields.route({
    method: 'POST',
    path: 'key/:key/regenerate',
    summary: 'The same, with the key in the path.',
    body: fields.KeyRegenerate,
    example: { grace_period: '24h' },
    handle: (host, call) => regenerate(host, call, call.params.key),
  }),
  fields.route({
    method: 'GET',
    path: 'key/list',
    summary: 'The ids of keys, in pages; with `return_full_object=true` the keys.',
    query: fields.KeyList,
    example: { keys: ['Ab3dEf6hIj9k'], total_count: 1, current_page: 1, total_pages: 1 },
    handle: listed,
  }),
]
