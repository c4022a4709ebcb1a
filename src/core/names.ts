/**
 * Which targets a public model name stands for. In this order: exact route (or alias, when that module is on) · longest
 * alias wildcard · `upstream/model`, split at the first slash · catalog name at its maker's own upstream first, then by
 * upstream id. Compiled once a snapshot; answers are remembered, so a request costs one map look-up.
 */
import type { Catalog } from './catalog.ts'
import {
  type FallbackReason,
  ONE_ATTEMPT,
  type Plan,
  type Target,
  TIMEOUTS,
  type Timeouts,
  type Upstream,
} from './exchange.ts'
import type { HealthBook } from './routing/health.ts'
import { compileCap, compileRules } from './routing/rules.ts'
import type { AliasConfiguration, Configuration, RouteConfiguration, TargetConfiguration } from './store.ts'

export interface Names {
  /** Without aliases: core's own answer. Never empty-handed: `via: 'none'` has no targets. */
  resolve(model: string): Plan
  /** What the alias of this name (exact or wildcard) stands for. */
  alias(model: string, match: 'exact' | 'wildcard'): Plan | undefined
  /** Each of these upstreams that takes the model, which may be none (`''`). */
  at(upstreams: readonly Upstream[], model: string): Plan
  /** Names for the list of models, sorted. */
  list(withAliases: boolean): readonly ListedModel[]
  /** Up to three known names that look like this one. */
  nearest(model: string): readonly string[]
}
export interface ListedModel {
  readonly id: string
  readonly ownedBy: string
}

const REMEMBERED = 10_000

/** Waiting for the first content includes waiting for the head of a stream. */
function timeoutsOf(base: Timeouts, own: Readonly<Record<string, number>> | undefined): Timeouts {
  if (!own) return base
  const all = { ...base, ...own }
  return { ...all, headersStreamedMs: Math.min(all.headersStreamedMs, all.firstContentMs) }
}

export function compileNames(
  configuration: Configuration,
  upstreams: ReadonlyMap<string, Upstream>,
  catalog: Catalog,
  health: HealthBook,
): Names {
  const remembered = new Map<string, Plan>()
  const plan = (via: Plan['via'], targets: readonly Target[], more: Partial<Plan> = {}): Plan => ({
    via,
    targets,
    retry: ONE_ATTEMPT,
    timeouts: TIMEOUTS,
    unsupported: 'drop',
    ...more,
  })
  const targetOf = (upstream: Upstream, model: string): Target => {
    const { refuses } = catalog.capabilitiesOf(model)
    return {
      upstream,
      model,
      weight: 1,
      health: health.target(upstream.id, model, upstream.baseUrl),
      ...(refuses ? { capabilities: { refuses } } : {}),
    }
  }
  const configured = (t: TargetConfiguration, timeouts: Timeouts): Target[] => {
    const upstream = upstreams.get(t.upstream)
    if (!upstream) return []
    const { weight = 1, order, tags, defaults, overrides, maxPrice, continues } = t
    const known = catalog.capabilitiesOf(t.model)
    const capabilities = t.capabilities ? { ...known, ...t.capabilities } : known
    return [
      {
        ...targetOf(upstream, t.model),
        weight,
        ...(order === undefined ? {} : { order }),
        ...(tags ? { tags } : {}),
        ...(t.timeouts ? { timeouts: timeoutsOf(timeouts, t.timeouts) } : {}),
        ...(Object.keys(capabilities).length > 0 ? { capabilities } : {}),
        ...(maxPrice ? { maxPrice: compileCap(maxPrice) } : {}),
        ...(continues ? { continues } : {}),
        ...(defaults ? { defaults } : {}),
        ...(overrides ? { overrides } : {}),
      },
    ]
  }

  function routed(route: RouteConfiguration): Plan {
    const timeouts = timeoutsOf(TIMEOUTS, route.timeouts)
    const targets = route.targets.flatMap((each) => configured(each, timeouts))
    const [mirror] = route.mirror ? configured(route.mirror, timeouts) : []
    const rules = compileRules(route, targets, mirror)
    return plan('route', targets, {
      timeouts,
      unsupported: route.unsupported ?? 'drop',
      ...(rules ? { rules } : {}),
    })
  }

  const routes = new Map<string, Plan>()
  for (const [model, route] of Object.entries(configuration.routes)) routes.set(model, routed(route))
  // Second, because a fallback may name any route; what that route would fall back to itself is not followed.
  for (const [model, route] of Object.entries(configuration.routes)) {
    if (!route.fallbacks) continue
    const own = routes.get(model) as Plan
    const { contextWindow, contentPolicy, general } = route.fallbacks
    const targets = [...own.targets]
    const add = (names: readonly string[] = [], fallback: FallbackReason): void => {
      for (const name of names) {
        for (const t of resolve(name).targets) if (!t.fallback && name !== model) targets.push({ ...t, fallback })
      }
    }
    add(contextWindow, 'context-window')
    add(contentPolicy, 'content-policy')
    add(general, 'general')
    routes.set(model, { ...own, targets })
  }

  function takes(upstream: Upstream, model: string): boolean {
    return upstream.models === undefined || upstream.models.includes(model)
  }

  function fromCatalog(model: string): Target[] {
    const makers = catalog.makersOf(model)
    const candidates: { rank: number; upstream: Upstream }[] = []
    for (const upstream of upstreams.values()) {
      const vendor = upstream.provider.catalog
      const rank = vendor === undefined ? -1 : makers.indexOf(vendor)
      if (upstream.models?.includes(model)) candidates.push({ rank: rank < 0 ? makers.length : rank, upstream })
      else if (rank >= 0 && upstream.models === undefined) candidates.push({ rank, upstream })
    }
    candidates.sort((a, b) => a.rank - b.rank || (a.upstream.id < b.upstream.id ? -1 : 1))
    return candidates.map(({ upstream }) => targetOf(upstream, model))
  }

  function find(model: string): Plan {
    const route = routes.get(model)
    if (route) return route
    const slash = model.indexOf('/')
    if (slash > 0) {
      const upstream = upstreams.get(model.slice(0, slash))
      const rest = model.slice(slash + 1)
      if (upstream && rest && takes(upstream, rest)) {
        return plan('upstream', [targetOf(upstream, rest)])
      }
    }
    const targets = fromCatalog(model)
    return targets.length > 0 ? plan('catalog', targets) : plan('none', [])
  }

  function resolve(model: string): Plan {
    let found = remembered.get(model)
    if (!found) {
      found = find(model)
      // Names come from clients: neither their number nor their length may fill the memory.
      if (remembered.size >= REMEMBERED) remembered.clear()
      if (model.length <= 256) remembered.set(model, found)
    }
    return found
  }

  const wildcards = Object.entries(configuration.aliases)
    .filter(([name]) => name.endsWith('*'))
    .map(([name, alias]) => ({ prefix: name.slice(0, -1), alias }))
    .sort((a, b) => b.prefix.length - a.prefix.length)

  function aliased(alias: AliasConfiguration, matched: string): Plan {
    const found = resolve(alias.model.endsWith('*') ? alias.model.slice(0, -1) + matched : alias.model)
    if (!alias.defaults && !alias.overrides) return { ...found, via: 'alias' }
    const targets = found.targets.map((t) => ({
      ...t,
      ...(alias.defaults || t.defaults ? { defaults: { ...t.defaults, ...alias.defaults } } : {}),
      ...(alias.overrides || t.overrides ? { overrides: { ...alias.overrides, ...t.overrides } } : {}),
    }))
    return { ...found, via: 'alias', targets }
  }

  function listed(): ListedModel[] {
    const found = new Map<string, string>()
    const only = upstreams.size === 1 && upstreams.get('mock')?.owner === 'built-in'
    for (const upstream of upstreams.values()) {
      if (upstream.owner === 'built-in' && !only) continue
      const vendor = upstream.provider.catalog
      for (const model of upstream.models ?? (vendor === undefined ? [] : catalog.modelsOf(vendor))) {
        const plain = upstream.owner !== 'built-in' && resolve(model).targets[0]?.upstream === upstream
        found.set(plain ? model : `${upstream.id}/${model}`, upstream.provider.id)
      }
    }
    for (const [model, route] of routes) found.set(model, route.targets[0]?.upstream.provider.id ?? 'stockyard')
    return [...found].map(([id, ownedBy]) => ({ id, ownedBy }))
  }
  let list: ListedModel[] | undefined

  const names: Names = {
    resolve,
    at: (places, model) =>
      plan(
        'upstream',
        places
          .filter((upstream) => model === '' || takes(upstream, model))
          .map((upstream) => targetOf(upstream, model)),
      ),
    alias(model, match) {
      if (match === 'exact') {
        const alias = Object.hasOwn(configuration.aliases, model) ? configuration.aliases[model] : undefined
        return alias && !model.endsWith('*') ? aliased(alias, '') : undefined
      }
      const found = wildcards.find(({ prefix }) => model.startsWith(prefix))
      return found && aliased(found.alias, model.slice(found.prefix.length))
    },
    list(withAliases) {
      list ??= listed().sort((a, b) => (a.id < b.id ? -1 : 1))
      if (!withAliases) return list
      const aliases = Object.keys(configuration.aliases).filter((name) => !name.endsWith('*'))
      const known = new Set(list.map((m) => m.id))
      return [...list, ...aliases.filter((a) => !known.has(a)).map((id) => ({ id, ownedBy: 'stockyard' }))]
    },
    nearest(model) {
      return names
        .list(true)
        .map(({ id }) => ({ id, distance: distanceOf(model.slice(0, 200), id) }))
        .filter(({ id, distance }) => distance <= Math.max(3, id.length / 3))
        .sort((a, b) => a.distance - b.distance)
        .slice(0, 3)
        .map(({ id }) => id)
    },
  }
  return names
}

/** Edits (insert, delete, replace) between two names, ignoring case. */
export function distanceOf(a: string, b: string): number {
  const from = a.toLowerCase()
  const to = b.toLowerCase()
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replace = (row[j - 1] as number) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replace, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[to.length] as number
}
