/**
 * The living gateway: the current snapshot, and the one way to change it. A change is checked, started beside the living,
 * committed, and swapped in by one assignment; whatever fails before the commit leaves everything as it was.
 */
import { randomBytes } from 'node:crypto'
import type { Act } from './acting.ts'
import type { Catalog } from './catalog.ts'
import type { Egress, OpenOutlet } from './egress.ts'
import { badRequest, type ErrorDetails, failure, Refusal } from './errors.ts'
import type { Credential, Upstream } from './exchange.ts'
import type { AskInside } from './inner.ts'
import type { Replay } from './kept.ts'
import { createKeyring, type Keyring } from './keys.ts'
import { type Chosen, type Host, type Log, type Metrics, type Module, OBSERVABLE, type Phase } from './module.ts'
import { callOut } from './module-call.ts'
import { checkOverrides, merged } from './overrides.ts'
import { liveCounts } from './pipeline.ts'
import type { Provider } from './provider.ts'
import type { JsonObject, JsonValue } from './request.ts'
import { type Checks, createChecks } from './routing/checks.ts'
import { createHealthBook, type HealthBook } from './routing/health.ts'
import { parseStrict } from './settings.ts'
import type { Signer, SignerParts } from './signing.ts'
import { createSnapshot, type Instance, type Snapshot } from './snapshot.ts'
import type { ChangeMeta, Configuration, Mode, ModuleConfiguration, Store, UpstreamConfiguration } from './store.ts'
import { wayOf } from './way.ts'

export interface GatewayParts {
  readonly store: Store
  readonly catalog: Catalog
  readonly modules: readonly Module[]
  readonly providers: readonly Provider[]
  readonly metrics: Metrics
  readonly egress: Egress
  readonly replay: Replay
  readonly askInside: AskInside
  readonly openOutlet: OpenOutlet
  readonly log: Log
  /** What signers reach through; absent: upstreams that need one cannot be configured. */
  readonly outside?: Pick<SignerParts, 'variable' | 'file'> & { readonly egress: Egress }
  /** LLM-specific variables only; upstreams owned by it are made from the providers' definitions. */
  readonly environment: Readonly<Record<string, string | undefined>>
  now(): number
}

export interface Gateway {
  readonly health: HealthBook
  readonly checks: Pick<Checks, 'looks'>
  readonly snapshot: Snapshot
  readonly modules: readonly Module[]
  readonly providers: ReadonlyMap<string, Provider>
  readonly store: Store
  readonly keys: Keyring
  moduleState(id: string): {
    readonly mode: Mode
    readonly settings: Readonly<Record<string, JsonValue>>
    readonly unlocked?: boolean
  }
  hostOf(id: string): Host
  /** Tells modules that listen of an administrator's call. */
  tell(act: Act): void
  /** What keeps modules from their work, by module. */
  readonly troubles: ReadonlyMap<string, Trouble>
  /** Returns the new revision. Throws without any effect. */
  change(
    edit: (now: Configuration) => Configuration,
    meta: Omit<ChangeMeta, 'before' | 'after'> & Partial<ChangeMeta>,
    expected?: number,
  ): Promise<number>
  /** The configuration is the same, but secrets or the environment changed. */
  reload(): Promise<void>
  close(): Promise<void>
}

export interface Trouble {
  readonly problem: string
  /** No exchange can be served. */
  readonly blocks: boolean
}

/** `http://host:port` without a path gets the provider's own, as some tools set the variable without it. */
function withPath(url: string, provider: Provider): string {
  if (!provider.baseUrl || !/^https?:\/\/[^/]+\/?$/.test(url)) return url
  return url.replace(/\/$/, '') + new URL(provider.baseUrl).pathname.replace(/\/$/, '')
}

export async function createGateway(parts: GatewayParts): Promise<Gateway> {
  const { store, modules, catalog } = parts
  const providers = new Map(parts.providers.map((p) => [p.id, p]))
  const byId = new Map(modules.map((m) => [m.id, m]))
  const startedAt = parts.now()
  const memories = new Map<string, Map<string, unknown>>()
  const signers = new Map<string, { readonly identity: string; readonly signer: Signer }>()
  const troubles = new Map<string, Trouble>()
  const listeners = new Set<(act: Act) => void>()
  /** Modules that are on their way out. */
  const stopping = new Set<Promise<void>>()
  const keys = createKeyring(store)
  const loaded = store.configuration.load()
  let changing: Promise<unknown> = Promise.resolve()
  const health = createHealthBook((upstream, credential, reason) =>
    parts.log.warn('a key is left alone', { upstream, credential, reason }),
  )
  const checks = createChecks(health, parts.egress, parts.now)

  function hostFor(module: Module, mode: Mode, stops: (() => void)[]): Host {
    const name = mode === 'observe' ? `${module.id}:observe` : module.id
    let memory = memories.get(name)
    if (!memory) {
      memory = new Map()
      memories.set(name, memory)
    }
    const refusal = (code: string, details?: ErrorDetails): Refusal => {
      const kind = module.errors?.[code]
      if (!kind) throw new Error(`module ${module.id} has no error "${code}"`)
      return new Refusal(module.id, code, kind, details)
    }
    return {
      log: parts.log,
      metrics: parts.metrics,
      mode: mode === 'observe' ? 'observe' : 'enforce',
      now: parts.now,
      startedAt,
      memory,
      get chosen() {
        return chosenFor(module)
      },
      call: (call) => callOut(parts.egress, module.id, call, (id) => current.upstreams.get(id)),
      exchange: (x, asked) => parts.askInside(x, module.id, asked),
      refuse(code, details) {
        throw refusal(code, details)
      },
      refusal,
      keys,
      directory: store.directory,
      ledger: store.ledger,
      credit: (grant) =>
        store.directory.change({ actor: `module:${module.id}`, action: 'grant.create' }, (edit) =>
          edit.insert('grant', grant),
        ),
      secret(name) {
        const owner = `module:${module.id}`
        const known = store.secrets.open(owner, name)
        if (known !== undefined) return known
        const made = randomBytes(32).toString('base64url')
        store.secrets.seal(owner, name, made)
        return made
      },
      replay: parts.replay,
      cacheOf: (scope) => store.cache.of(module.id, scope),
      get tables() {
        if (!module.tables) throw new Error(`module ${module.id} has no tables`)
        return store.tables(module.id)
      },
      openOutlet: parts.openOutlet,
      get worker() {
        return store.worker(module.id)
      },
      secretOf: (secret) => store.secrets.open(`module:${module.id}`, secret),
      hear(listener) {
        listeners.add(listener)
        stops.push(() => void listeners.delete(listener))
      },
      trouble(problem, blocks = false) {
        if (problem === undefined) troubles.delete(module.id)
        else troubles.set(module.id, { problem, blocks })
      },
      jobs: {
        every(ms, work) {
          const timer = setInterval(async () => {
            try {
              await work()
            } catch (error) {
              parts.log.error(`a job of ${module.id} failed`, { error: String(error) })
            }
          }, ms)
          timer.unref()
          stops.push(() => clearInterval(timer))
        },
      },
    }
  }

  const stateOf = (configuration: Configuration, module: Module): ModuleConfiguration =>
    configuration.modules[module.id] ?? { mode: module.default, settings: {} }

  async function start(module: Module, state: ModuleConfiguration, living: readonly Instance[]): Promise<Instance> {
    const identity = JSON.stringify([state.mode, state.settings])
    const same = living.find((i) => i.module === module && i.identity === identity)
    if (same) return same
    const settings = parseStrict(module.settings, state.settings, 'settings')
    const problems = module.check?.(settings) ?? []
    if (problems.length > 0) throw badRequest(problems.join(' '), 'settings')
    const stops: (() => void)[] = []
    const { stop, wantsCall, wait, ...hooks } = await module.start(hostFor(module, state.mode, stops), settings)
    if (state.mode === 'observe') {
      const acts = Object.keys(hooks).filter((phase) => !OBSERVABLE.includes(phase as Phase))
      if (acts.length > 0) {
        await stop?.()
        for (const each of stops) each()
        throw badRequest(`module "${module.id}" cannot only observe: it acts in ${acts.join(', ')}`, 'mode')
      }
    }
    return {
      module,
      mode: state.mode === 'observe' ? 'observe' : 'enforce',
      hooks,
      ...(wantsCall ? { wantsCall } : {}),
      ...(wait ? { wait } : {}),
      counts: liveCounts(),
      identity,
      uses: 0,
      stop() {
        for (const each of stops) each()
        const stopped = (async () => stop?.())()
          .catch((error) => parts.log.error(`${module.id} did not stop`, { error: String(error) }))
          .finally(() => stopping.delete(stopped))
        stopping.add(stopped)
      },
    }
  }

  /** The signer of the same account goes on, with the credential that it fetched. */
  function signerOf(upstream: Upstream): Signer | undefined {
    const { id, provider, baseUrl, options, credentials, allowHosts, way } = upstream
    if (!provider.signer) return undefined
    if (!parts.outside) throw new Error(`nothing to reach the credentials of upstream "${id}" by`)
    const identity = JSON.stringify([provider.id, baseUrl, options, credentials, allowHosts, way?.id])
    const known = signers.get(id)
    if (known?.identity === identity) return known.signer
    const allowed = { ...(allowHosts === undefined ? {} : { allowHosts }), ...(way === undefined ? {} : { way }) }
    const signer = provider.signer({ upstream: id, baseUrl, options, ...allowed, ...parts.outside, now: parts.now })
    signers.set(id, { identity, signer })
    return signer
  }

  function upstreamOf(id: string, provider: Provider, c: UpstreamConfiguration): Upstream {
    const options = (
      provider.options ? parseStrict(provider.options, c.options, `upstreams/${id}/options`) : (c.options ?? {})
    ) as Upstream['options']
    const baseUrl = c.baseUrl ?? provider.baseUrl ?? provider.baseUrlOf?.(options)
    if (baseUrl === undefined)
      throw badRequest(`upstream "${id}": provider "${provider.id}" needs a baseUrl`, 'baseUrl')
    const credentials = (c.credentials ?? []).flatMap((credential): Credential[] => {
      const secret = store.secrets.open(id, credential.id)
      if (secret === undefined) return []
      const { id: name, weight = 1, limits } = credential
      return [{ id: name, secret, weight, health: health.key(id, name, secret), ...(limits ? { limits } : {}) }]
    })
    return withSigner({
      id,
      provider,
      baseUrl: baseUrl.replace(/\/+$/, ''),
      credentials,
      // In lower case they take the place of the same ones of ours.
      headers: Object.fromEntries(Object.entries(c.headers ?? {}).map(([name, text]) => [name.toLowerCase(), text])),
      options,
      ...(c.models === undefined ? {} : { models: c.models }),
      callerKeys: c.callerKeys ?? false,
      ...(c.callerPays ? { callerPays: true } : {}),
      ...(c.allowHosts === undefined ? {} : { allowHosts: c.allowHosts }),
      ...(c.network === undefined ? {} : { way: wayOf(id, c.network, store.secrets) }),
      ...(c.healthCheck === undefined ? {} : { healthCheck: checkOf(id, provider, c.healthCheck) }),
      owner: 'database',
    })
  }
  function checkOf(id: string, provider: Provider, check: NonNullable<UpstreamConfiguration['healthCheck']>) {
    const path = check.path ?? provider.models
    if (path !== undefined) return { everyMs: check.everyMs, path }
    throw badRequest(
      `upstream "${id}": provider "${provider.id}" has no free list to look at; name one in healthCheck.path`,
      'healthCheck.path',
    )
  }
  const withSigner = (upstream: Upstream): Upstream => {
    const signer = signerOf(upstream)
    return signer ? { ...upstream, signer } : upstream
  }

  function upstreamsOf(configuration: Configuration): Map<string, Upstream> {
    const upstreams = new Map<string, Upstream>()
    for (const provider of providers.values()) {
      const { environment } = provider
      const secret = environment && parts.environment[environment.key]
      const own = environment?.baseUrl === undefined ? undefined : parts.environment[environment.baseUrl]
      const variable = environment?.key ?? 'environment'
      const usable = secret || (provider.local && own)
      if (usable && own === undefined && provider.baseUrl === undefined) {
        parts.log.warn(
          `${environment?.key} is set, but ${environment?.baseUrl ?? 'a base URL'} is not: no upstream is made of it`,
        )
      } else if (usable) {
        upstreams.set(provider.id, {
          ...upstreamOf(provider.id, provider, {
            provider: provider.id,
            ...(own ? { baseUrl: withPath(own, provider) } : {}),
          }),
          credentials: secret
            ? [{ id: variable, secret, weight: 1, health: health.key(provider.id, variable, secret) }]
            : [],
          owner: 'environment',
        })
      } else if (provider.baseUrl?.startsWith('builtin:')) {
        upstreams.set(provider.id, {
          ...upstreamOf(provider.id, provider, { provider: provider.id, models: ['echo'] }),
          owner: 'built-in',
        })
      }
    }
    for (const [id, c] of Object.entries(configuration.upstreams)) {
      const provider = providers.get(c.provider)
      if (!provider) throw badRequest(`upstream "${id}": there is no provider "${c.provider}"`, 'provider')
      upstreams.set(id, upstreamOf(id, provider, c))
    }
    return upstreams
  }

  function checkModules(configuration: Configuration): void {
    for (const id of Object.keys(configuration.modules))
      if (!byId.has(id)) throw failure('not_found', { what: `module "${id}"` })
    for (const module of modules) {
      if (stateOf(configuration, module).mode === 'off') continue
      for (const id of module.requires ?? []) {
        const needed = byId.get(id)
        if (!needed || stateOf(configuration, needed).mode === 'off') {
          throw failure('conflict', { problem: `Module "${module.id}" needs module "${id}" to be on.` })
        }
      }
    }
    for (const name of Object.keys(configuration.aliases)) {
      if (Object.hasOwn(configuration.routes, name)) {
        throw failure('conflict', { problem: `"${name}" is both a route and an alias.` })
      }
    }
  }

  async function build(revision: number, configuration: Configuration, living: readonly Instance[]): Promise<Snapshot> {
    checkModules(configuration)
    const upstreams = upstreamsOf(configuration)
    const live: Instance[] = []
    try {
      for (const module of modules) {
        const state = stateOf(configuration, module)
        if (state.mode !== 'off') live.push(await start(module, state, living))
      }
      const derive = async (chain: readonly string[], running: readonly Instance[]): Promise<Instance[]> => {
        const instances: Instance[] = []
        for (const module of modules) {
          const { mode, settings } = merged(stateOf(configuration, module), module.id, configuration, chain)
          if (mode !== 'off') instances.push(await start(module, { mode, settings }, running))
        }
        return instances
      }
      return createSnapshot({ revision, configuration, live, upstreams, catalog, health, derive })
    } catch (error) {
      for (const instance of live) if (instance.uses === 0) instance.stop()
      throw error
    }
  }

  /** The places above one, from the widest; undefined if there is no such place. */
  function above(place: string): readonly string[] | undefined {
    const { directory } = store
    const [kind, id = ''] = place.split(':') as [string, string]
    if (kind === 'organization') return directory.get('organization', id) && []
    if (kind === 'team') {
      const team = directory.get('team', id)
      return team && [`organization:${team.organization}`]
    }
    const key = directory.get('key', id)
    if (!key) return undefined
    const organization = key.organization === undefined ? [] : [`organization:${key.organization}`]
    return key.team === undefined ? organization : [...organization, `team:${key.team}`]
  }

  function chosenFor(module: Module): Chosen {
    const { configuration } = current
    const base = stateOf(configuration, module)
    const places = new Map<string, JsonObject>()
    for (const [place, { modules: told }] of Object.entries(configuration.overrides ?? {})) {
      const chain = told[module.id] && above(place)
      if (chain) places.set(place, merged(base, module.id, configuration, [...chain, place]).settings)
    }
    return { everywhere: base.settings, places }
  }

  /** All of them, because what changed above a place may make what is said there too loose. */
  async function judgeOverrides(now: Configuration, next: Configuration): Promise<void> {
    const places = Object.keys(next.overrides ?? {})
    if (places.length === 0) return
    const base = (module: Module) => stateOf(next, module)
    if (now.modules === next.modules && now.overrides === next.overrides) return
    const changed = places.filter((place) => now.overrides?.[place] !== next.overrides?.[place])
    // One whose place is gone holds for nobody, and is no reason to refuse another change.
    const judged = places.filter((place) => changed.includes(place) || above(place) !== undefined)
    checkOverrides(next, judged, { module: (id) => byId.get(id), base, above })
    for (const place of changed) {
      for (const [id, own] of Object.entries(next.overrides?.[place]?.modules ?? {})) {
        const module = byId.get(id)
        if (own.mode !== 'observe' || !module) continue
        // Whether it can only observe is known once it was started.
        const chain = [...(above(place) ?? []), place]
        const { mode, settings } = merged(base(module), id, next, chain)
        const tried = await start(module, { mode, settings }, current.live)
        if (tried.uses === 0) tried.stop()
      }
    }
  }

  let current = await build(loaded.revision, loaded.configuration, [])
  checks.follow(current.upstreams.values())

  function swap(next: Snapshot): void {
    const old = current
    current = next
    checks.follow(next.upstreams.values())
    old.retire()
  }

  /** Changes are made one after the other; readers never wait for them. */
  function serially<T>(work: () => Promise<T>): Promise<T> {
    const next = changing.then(work, work)
    changing = next.catch(() => {})
    return next
  }

  return {
    get snapshot() {
      return current
    },
    health,
    checks,
    modules,
    providers,
    store,
    keys,
    troubles,
    tell(act) {
      for (const listener of listeners) listener(act)
    },
    moduleState(id) {
      const module = byId.get(id)
      if (!module) throw failure('not_found', { what: `module "${id}"` })
      const { mode, settings, unlocked } = stateOf(current.configuration, module)
      const parsed = parseStrict(module.settings, settings) as Record<string, JsonValue>
      return { mode, settings: parsed, ...(unlocked ? { unlocked } : {}) }
    },
    hostOf(id) {
      const module = byId.get(id)
      if (!module) throw failure('not_found', { what: `module "${id}"` })
      return hostFor(module, 'enforce', [])
    },
    change: (edit, meta, expected) =>
      serially(async () => {
        const now = current.configuration
        const next = edit(now)
        await judgeOverrides(now, next)
        // Everything that can fail comes before the commit; the swap cannot.
        const draft = await build(current.revision + 1, next, current.live)
        try {
          const { before, after } = {
            before: now as unknown as JsonValue,
            after: next as unknown as JsonValue,
            ...meta,
          }
          const { id } = store.configuration.commit(
            next,
            { actor: meta.actor, action: meta.action, before, after },
            expected,
          )
          swap(id === draft.revision ? draft : await build(id, next, draft.live))
          return id
        } catch (error) {
          draft.retire()
          throw error
        }
      }),
    reload: () => serially(async () => swap(await build(current.revision, current.configuration, current.live))),
    async close() {
      await changing
      checks.stop()
      current.retire()
      await Promise.all(stopping)
    },
  }
}
