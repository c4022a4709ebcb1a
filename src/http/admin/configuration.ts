/** Routes that change what is compiled: modules, upstreams, routes, aliases, prices, revisions, the configuration file. */
import { type TObject, Type } from 'typebox'
import { badRequest, failure } from '../../core/errors.ts'
import { percentile } from '../../core/faults.ts'
import type { Gateway } from '../../core/gateway.ts'
import { OBSERVABLE, type Phase } from '../../core/module.ts'
import { inOrder } from '../../core/pipeline.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { parseStrict } from '../../core/settings.ts'
import { type Configuration, type Mode, NETWORK_SECRETS, type UpstreamConfiguration } from '../../core/store.ts'
import { effectiveRoute } from './effective.ts'
import { checkCertificates, networkSecrets } from './network.ts'
import type { AdminContext, CoreCall, CoreRoute } from './route.ts'
import { Alias, File, ModuleChange, ModuleSecret, Override, Prices, Route, Upstream } from './schemas.ts'

const anything = Type.Object({}, { additionalProperties: true })
const Digits = Type.String({ pattern: '^\\d{1,9}$' })

function revisionIn({ params }: CoreCall): number {
  if (!/^\d{1,15}$/.test(params.id ?? '')) throw failure('not_found', { what: `revision "${params.id}"` })
  return Number(params.id)
}
type Section = 'modules' | 'upstreams' | 'routes' | 'aliases' | 'prices' | 'overrides'

/** Ids that stand for our own paths. */
const RESERVED = new Set(
  'api console health metrics v1 v1alpha v1beta v1beta1 key team user organization customer budget spend model models litellm mcp'.split(
    ' ',
  ),
)

function refuseFileOwned(now: Configuration, name: string): void {
  if (!now.file?.owns.includes(name)) return
  throw failure('conflict', { problem: `${name} is owned by the file ${now.file.name}; change it there and apply it.` })
}

/** Names are anybody's: what every object has is no entry. */
function entryOf(now: Configuration, section: Section, name: string): JsonValue | undefined {
  const entries = (now[section] ?? {}) as unknown as Record<string, JsonValue>
  return Object.hasOwn(entries, name) ? entries[name] : undefined
}

/** Sets (or, with undefined, removes) one entry of one section. Answers with what changed and, unless dry, the revision. */
async function put(context: AdminContext, call: CoreCall, section: Section, name: string, value: unknown) {
  const { gateway } = context
  const edit = (now: Configuration): Configuration => {
    refuseFileOwned(now, `${section}/${name}`)
    const { [name]: _, ...others } = (now[section] ?? {}) as Record<string, unknown>
    return { ...now, [section]: value === undefined ? others : { ...others, [name]: value } }
  }
  const now = gateway.snapshot.configuration
  const before = entryOf(now, section, name) ?? null
  const after = (value ?? null) as JsonValue
  if (call.dry) {
    edit(now)
    return { dry: true, before, after }
  }
  const action = `${section}/${name} ${value === undefined ? 'delete' : before === null ? 'create' : 'change'}`
  const revision = await gateway.change(edit, { actor: call.actor, action, before, after }, call.expected)
  return { revision, before, after }
}

const nameOf = (call: CoreCall): string => call.params['*'] ?? call.params.id ?? ''

function entry(section: Section, what: string, schema: TObject, example: JsonObject): CoreRoute[] {
  const path = `${section}/*`
  return [
    {
      method: 'GET',
      path: section,
      summary: `All ${section}.`,
      answer: anything,
      example: { [section]: { name: example } },
      handle: ({ gateway }) => ({ [section]: gateway.snapshot.configuration[section] ?? {} }),
    },
    {
      method: 'GET',
      path,
      summary: `One ${what}.`,
      answer: anything,
      example,
      handle({ gateway }, call) {
        const found = entryOf(gateway.snapshot.configuration, section, nameOf(call))
        if (!found) throw failure('not_found', { what: `${what} "${nameOf(call)}"` })
        return found
      },
    },
    {
      method: 'PUT',
      path,
      summary: `Creates or replaces a ${what}; it is in force with the next request.`,
      body: schema,
      answer: anything,
      example,
      handle: (context, call) => {
        const body = parseStrict(schema, call.body) as { prices?: unknown }
        return put(context, call, section, nameOf(call), section === 'prices' ? body.prices : body)
      },
    },
    {
      method: 'DELETE',
      path,
      summary: `Removes a ${what}.`,
      answer: anything,
      example: {},
      handle(context, call) {
        const name = nameOf(call)
        if (!Object.hasOwn(context.gateway.snapshot.configuration[section] ?? {}, name)) {
          throw failure('not_found', { what: `${what} "${name}"` })
        }
        const owned = section === 'upstreams' ? context.gateway.snapshot.configuration.upstreams[name] : undefined
        const answer = put(context, call, section, name, undefined)
        if (call.dry) return answer
        return answer.then((done) => {
          const sealed = [...(owned?.credentials ?? []).map(({ id }) => id), ...(owned?.network ? networkSecrets : [])]
          for (const id of sealed)
            context.gateway.store.secrets.remove(name, id, { actor: call.actor, action: 'credential.remove' })
          return done
        })
      },
    },
  ]
}

function describeModule({ gateway }: AdminContext, id: string) {
  const module = gateway.modules.find((m) => m.id === id)
  if (!module) throw failure('not_found', { what: `module "${id}"` })
  const live = gateway.snapshot.live.find((i) => i.module === module)
  const state = gateway.moduleState(id)
  const order = inOrder(gateway.modules.map((m) => ({ module: m }))).findIndex((m) => m.module === module)
  const hooks = live
    ? Object.keys(live.hooks).map((phase) => {
        const { calls, refusals, wouldRefuse, faults } = live.counts[phase as Phase]
        const p50Us = percentile(live.counts[phase as Phase], 0.5)
        const p99Us = percentile(live.counts[phase as Phase], 0.99)
        return { phase, calls, refusals, wouldRefuse, faults, p50Us, p99Us }
      })
    : []
  const { summary, layer, fault, requires = [], settings: schema } = module
  const observable = hooks.length > 0 && hooks.every((h) => OBSERVABLE.includes(h.phase as Phase))
  return { id, summary, layer, order, fault, requires, default: module.default, observable, ...state, hooks, schema }
}

function checkUpstreamId(id: string): void {
  if (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(id) && !RESERVED.has(id)) return
  throw failure('invalid_request', {
    problem: `"${id}" cannot be an upstream's id: lower case letters, digits, . _ - and none of our own paths.`,
  })
}

/** They say how a message stands on its connection: whoever writes it says them. */
const FRAMING =
  /^(?:connection|content-length|expect|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$/i

function checkHeaders(id: string, headers: object = {}): void {
  const name = Object.keys(headers).find((each) => FRAMING.test(each))
  if (name === undefined) return
  throw badRequest(`upstream "${id}": the header ${name} says how a request is sent, and cannot be set.`, 'headers')
}

async function putUpstream(context: AdminContext, call: CoreCall): Promise<unknown> {
  const id = nameOf(call)
  checkUpstreamId(id)
  const { credentials = [], network, ...rest } = parseStrict(Upstream, call.body)
  checkHeaders(id, rest.headers)
  const { secrets } = context.gateway.store
  const undo: (() => void)[] = []
  const seal = (name: string, secret: string): void => {
    const before = secrets.open(id, name)
    const change = { actor: call.actor, action: 'credential.set' }
    secrets.seal(id, name, secret, change)
    const undone = { ...change, action: 'credential.set undone' }
    undo.push(() => (before === undefined ? secrets.remove(id, name, undone) : secrets.seal(id, name, before, undone)))
  }
  const { certificateKey, proxyCredentials, ...open } = network ?? {}
  checkCertificates({ ...open, certificateKey: certificateKey ?? secrets.open(id, NETWORK_SECRETS.certificateKey) })
  const kept = credentials.map(({ secret, ...credential }) => {
    if (secret === undefined && secrets.open(id, credential.id) === undefined) {
      throw failure('invalid_request', {
        problem: `credential "${credential.id}" has no secret yet`,
        param: 'credentials',
      })
    }
    if (secret !== undefined && !call.dry) seal(credential.id, secret)
    return credential
  })
  if (certificateKey !== undefined && !call.dry) seal(NETWORK_SECRETS.certificateKey, certificateKey)
  if (proxyCredentials !== undefined && !call.dry) seal(NETWORK_SECRETS.proxyCredentials, proxyCredentials)
  const value = {
    ...rest,
    ...(kept.length > 0 ? { credentials: kept } : {}),
    ...(network === undefined ? {} : { network: open }),
  } as UpstreamConfiguration
  try {
    return await put(context, call, 'upstreams', id, value)
  } catch (error) {
    for (const each of undo) each()
    throw error
  }
}

/** What applying a file would do: what it owns becomes exactly what it says; what others own stays. */
function planFile(gateway: Gateway, input: unknown, name: string) {
  const file = parseStrict(File, input) as Partial<Record<Section, Record<string, unknown>>>
  const now = gateway.snapshot.configuration
  const owned = new Set(now.file?.owns ?? [])
  const changes: { object: string; change: string; before: JsonValue; after: JsonValue }[] = []
  const owns: string[] = []
  const next: Record<string, unknown> = { ...now }
  for (const section of ['modules', 'upstreams', 'routes', 'aliases', 'prices', 'overrides'] as const) {
    const wanted = file[section] ?? {}
    const current = (now[section] ?? {}) as unknown as Record<string, JsonValue>
    const result = new Map<string, unknown>()
    for (const [id, value] of Object.entries(current)) {
      const gone = owned.has(`${section}/${id}`) && !Object.hasOwn(wanted, id)
      if (gone) changes.push({ object: `${section}/${id}`, change: 'delete', before: value, after: null })
      else result.set(id, value)
    }
    for (const [id, raw] of Object.entries(wanted)) {
      if (section === 'upstreams') {
        checkUpstreamId(id)
        checkHeaders(id, (raw as { headers?: object }).headers)
      }
      const value = section === 'modules' ? { mode: 'enforce', settings: {}, ...(raw as object) } : raw
      owns.push(`${section}/${id}`)
      const before = entryOf(now, section, id) ?? null
      if (JSON.stringify(before) !== JSON.stringify(value)) {
        changes.push({
          object: `${section}/${id}`,
          change: before === null ? 'create' : 'change',
          before,
          after: value as JsonValue,
        })
      } else if (!owned.has(`${section}/${id}`)) {
        changes.push({ object: `${section}/${id}`, change: 'own', before, after: before })
      }
      result.set(id, value)
    }
    if (section !== 'overrides' || result.size > 0) next[section] = Object.fromEntries(result)
    else delete next[section]
  }
  next.file = { name, owns }
  return { next: next as unknown as Configuration, changes }
}

/** Makes the gateway what a file says. Answers with what that changed. */
export async function applyFile(gateway: Gateway, input: unknown, name: string, actor: string) {
  const { next, changes } = planFile(gateway, input, name)
  if (changes.length > 0) await gateway.change(() => next, { actor, action: `apply ${name}` })
  return changes
}

const FileCall = Type.Object(
  { name: Type.Optional(Type.String()), configuration: Type.Object({}, { additionalProperties: true }) },
  { additionalProperties: false },
)

export const configurationRoutes: readonly CoreRoute[] = [
  {
    method: 'GET',
    path: 'modules',
    summary: 'All modules in the order in which they act, with mode, settings and counters.',
    answer: anything,
    example: { modules: [{ id: 'cache', mode: 'off' }] },
    handle: (context) => ({
      modules: inOrder(context.gateway.modules.map((module) => ({ module }))).map(({ module }) =>
        describeModule(context, module.id),
      ),
    }),
  },
  {
    method: 'GET',
    path: 'modules/:id',
    summary: 'One module: mode, settings, schema, hooks and counters.',
    answer: anything,
    example: { id: 'cache', mode: 'off', settings: { ttlSeconds: 3600 } },
    handle: (context, call) => describeModule(context, nameOf(call)),
  },
  {
    method: 'PUT',
    path: 'modules/:id',
    summary:
      'Switches a module off, to observe or to enforce, or changes its settings; in force with the next request.',
    body: ModuleChange,
    answer: anything,
    example: { mode: 'enforce', settings: { ttlSeconds: 600 } },
    async handle(context, call) {
      const id = nameOf(call)
      const module = context.gateway.modules.find((m) => m.id === id)
      if (!module) throw failure('not_found', { what: `module "${id}"` })
      const state = context.gateway.moduleState(id)
      const wanted = parseStrict(ModuleChange, call.body)
      const settings = parseStrict(module.settings, wanted.settings ?? state.settings, 'settings')
      const unlocked = wanted.unlocked ?? state.unlocked
      const answer = await put(context, call, 'modules', id, {
        mode: wanted.mode ?? (state.mode as Mode),
        settings,
        ...(unlocked ? { unlocked } : {}),
      })
      return { ...(answer as object), module: describeModule(context, id) }
    },
  },
  {
    method: 'PUT',
    path: 'modules/:id/secrets/:name',
    summary: 'Gives a module a secret that its settings name. It is sealed, and never shown again.',
    body: ModuleSecret,
    answer: anything,
    example: { secret: '…' },
    handle({ gateway }, call) {
      const id = nameOf(call)
      const name = call.params.name ?? ''
      if (!gateway.modules.some((m) => m.id === id)) throw failure('not_found', { what: `module "${id}"` })
      const { secret } = parseStrict(ModuleSecret, call.body)
      if (call.dry) return { dry: true }
      gateway.store.secrets.seal(`module:${id}`, name, secret, { actor: call.actor, action: 'secret.set' })
      return { set: true }
    },
  },
  {
    method: 'GET',
    path: 'upstreams',
    summary: 'All upstreams, whoever owns them; never their secrets.',
    answer: anything,
    example: { upstreams: [{ id: 'main', provider: 'custom', owner: 'database' }] },
    handle: ({ gateway }) => ({
      upstreams: [...gateway.snapshot.upstreams.values()].map((u) => ({
        id: u.id,
        provider: u.provider.id,
        baseUrl: u.baseUrl,
        owner: gateway.snapshot.configuration.file?.owns.includes(`upstreams/${u.id}`) ? 'file' : u.owner,
        credentials: u.credentials.map(({ id, weight }) => ({ id, weight })),
        ...(u.models ? { models: u.models } : {}),
        callerKeys: u.callerKeys,
        callerPays: u.callerPays ?? false,
      })),
    }),
  },
  ...entry('upstreams', 'upstream', Upstream, {
    provider: 'custom',
    baseUrl: 'https://llm.example/v1',
    credentials: [{ id: 'main', secret: '…' }],
  }).filter(({ path, method }) => path !== 'upstreams' && method !== 'PUT'),
  {
    method: 'PUT',
    path: 'upstreams/*',
    summary: 'Creates or replaces an upstream. Secrets are sealed apart and never shown again.',
    body: Upstream,
    answer: anything,
    example: { provider: 'custom', baseUrl: 'https://llm.example/v1', credentials: [{ id: 'main', secret: '…' }] },
    handle: putUpstream,
  },
  ...entry('routes', 'route', Route, {
    targets: [
      { upstream: 'first', model: 'gpt-4o-mini' },
      { upstream: 'second', model: 'llama-3.3-70b-versatile' },
    ],
  }),
  ...entry('aliases', 'alias', Alias, { model: 'gpt-4o-mini' }),
  ...entry('overrides', 'override', Override, {
    modules: { cache: { mode: 'enforce', settings: { ttlSeconds: 60 } } },
  }),
  effectiveRoute,
  ...entry('prices', 'price', Prices, { prices: [{ from: '2026-01-01', rates: { input: '0.15', output: '0.60' } }] }),
  {
    method: 'GET',
    path: 'revisions',
    summary: 'Who changed what and when, newest first.',
    query: Type.Object(
      { limit: Type.Optional(Digits), before: Type.Optional(Digits) },
      { additionalProperties: false },
    ),
    answer: anything,
    example: { current: 3, revisions: [{ id: 3, actor: 'admin', action: 'modules/cache change' }] },
    handle: ({ gateway }, { query }) => ({
      current: gateway.snapshot.revision,
      revisions: gateway.store.configuration
        .revisions(
          Math.min(200, Number(query.limit ?? 50)),
          query.before === undefined ? undefined : Number(query.before),
        )
        .map((r) => ({ ...r, at: new Date(r.at).toISOString() })),
    }),
  },
  {
    method: 'GET',
    path: 'revisions/:id',
    summary: 'The whole configuration as it was.',
    answer: anything,
    example: { modules: {}, upstreams: {}, routes: {}, aliases: {}, prices: {} },
    handle: ({ gateway }, call) => gateway.store.configuration.at(revisionIn(call)),
  },
  {
    method: 'POST',
    path: 'revisions/:id/rollback',
    summary: 'Makes an earlier configuration the current one, as a new revision. Keys and secrets are not rolled back.',
    answer: anything,
    example: { revision: 4 },
    async handle({ gateway }, call) {
      const to = gateway.store.configuration.at(revisionIn(call))
      if (call.dry) return { dry: true, before: gateway.snapshot.configuration, after: to }
      const action = `roll back to revision ${call.params.id}`
      return { revision: await gateway.change(() => to, { actor: call.actor, action }, call.expected) }
    },
  },
  {
    method: 'GET',
    path: 'config/export',
    told: true,
    summary: 'The configuration as a file would say it. Secrets are not in it.',
    answer: anything,
    example: { modules: { cache: { mode: 'enforce', settings: {} } } },
    handle: ({ gateway }) => {
      const { file: _, ...configuration } = gateway.snapshot.configuration
      return configuration
    },
  },
  {
    method: 'POST',
    path: 'config/plan',
    summary: 'What applying this file would change.',
    body: FileCall,
    answer: anything,
    example: { configuration: { modules: { cache: { mode: 'enforce' } } } },
    handle: (context, call) => ({
      changes: planFile(context.gateway, parseStrict(FileCall, call.body).configuration, 'stockyard.yaml').changes,
    }),
  },
  {
    method: 'POST',
    path: 'config/apply',
    summary: 'Applies a file: what it names becomes its own, and is read-only elsewhere.',
    body: FileCall,
    answer: anything,
    example: { name: 'stockyard.yaml', configuration: { modules: { cache: { mode: 'enforce' } } } },
    async handle(context, call) {
      const { name = 'stockyard.yaml', configuration } = parseStrict(FileCall, call.body)
      const { next, changes } = planFile(context.gateway, configuration, name)
      if (call.dry || changes.length === 0) return { changes, revision: context.gateway.snapshot.revision }
      const meta = { actor: call.actor, action: `apply ${name}` }
      return { changes, revision: await context.gateway.change(() => next, meta, call.expected) }
    },
  },
]
