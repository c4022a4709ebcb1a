/**
 * A LiteLLM configuration as one of this gateway: deployments of one name become the targets of one route, wildcards become
 * aliases. A pure mapping: what has no place in the file is said in the report, and no secret is in either.
 */
import type { TargetConfiguration } from '../../core/store.ts'
import { type Deployment, deploymentOf } from './deployments.ts'
import { fieldsOf, listOf, type Row, rowOf } from './fields.ts'
import { isAdopted, modelAt, type NamedPlace, namePlaces, type Surroundings } from './places.ts'
import { emptyReport, quoted, type Report } from './report.ts'
import { budgetStep, type Chains, type Settings, settingsOf } from './settings.ts'

export interface Imported {
  /** As `stockyard.yaml` has it. */
  readonly file: Row
  readonly report: Report
}
type Mutable = Record<string, unknown>

const MOST_TARGETS = 100
const MOST_FALLBACKS = 20

export function fromLiteLLM(input: unknown, around: Surroundings): Imported {
  const report = emptyReport()
  const missing = (at: string, why: string) => report.missing.push({ at, why })
  const root = fieldsOf('', input)
  if (!rowOf(input))
    missing('the file', input === null || input === undefined ? 'it is empty.' : 'it is not a mapping of settings.')
  const list = root.take('model_list')
  if (list !== undefined && !Array.isArray(list)) missing('model_list', 'it is not a list.')
  if (rowOf(input) && list === undefined) missing('model_list', 'there is none, so there are no routes.')
  const settings = settingsOf(
    {
      router: fieldsOf('router_settings', root.take('router_settings')),
      library: fieldsOf('litellm_settings', root.take('litellm_settings')),
      general: fieldsOf('general_settings', root.take('general_settings')),
    },
    report,
  )
  const deployments = (Array.isArray(list) ? listOf(list) : []).flatMap(
    (entry, index) => deploymentOf(entry, index, around, report) ?? [],
  )
  const variables = Object.keys(rowOf(root.take('environment_variables')) ?? {})
  if (variables.length > 0)
    missing('environment_variables', `set where the gateway is started what it needs of: ${variables.join(', ')}.`)
  if (root.take('include') !== undefined) missing('include', 'the files that it names are imported one by one.')
  for (const field of root.left()) missing(field, 'there is no such section here.')

  const places = namePlaces(deployments.map(({ place }) => place))
  const idOf = (deployment: Deployment): string => (places.get(deployment.place) as NamedPlace).id
  const modules: Mutable = { ...settings.modules }
  const { routes, aliases } = namesOf(deployments, idOf, settings, report)
  addFallbacks(routes, aliases, settings, report)
  for (const { provider, amount, window } of settings.budgets) {
    const at = `router_settings.provider_budget_config (${provider})`
    const known = modelAt(`${provider}/x`, undefined, around.providers, around.catalog)?.provider
    const ids = [...new Set([...places.values()].filter((place) => place.provider === known).map(({ id }) => id))]
    if (ids.length === 0) missing(at, 'no deployment is there.')
    if (ids.length > 1) report.differs.push({ at, why: 'each of its upstreams has the whole amount.' })
    for (const id of ids)
      if (budgetStep(`--scope ${quoted(`upstream=${id}`)} `, amount, window, at, report))
        modules.budgets = { mode: 'enforce' }
  }
  for (const deployment of deployments) limit(deployment, idOf(deployment), modules, report)
  if (modules.budgets) {
    const why =
      'a model without a known price is refused under a budget (setting unpriced of module budgets), not taken for free.'
    report.differs.push({ at: 'budgets', why })
  }
  saySecrets(deployments, places, report)

  const upstreams = [...new Set(places.values())].flatMap(({ id, written }) =>
    written ? [[id, written] as const] : [],
  )
  const sections = {
    modules,
    upstreams: Object.fromEntries(upstreams),
    routes,
    aliases,
    prices: pricesOf(deployments, idOf, report),
  }
  const file = Object.entries(sections)
    .map(([name, section]) => [name, Object.fromEntries(Object.entries(section))] as const)
    .filter(([, section]) => Object.keys(section).length > 0)
  return { file: Object.fromEntries(file), report }
}

function namesOf(
  deployments: readonly Deployment[],
  idOf: (d: Deployment) => string,
  settings: Settings,
  report: Report,
) {
  const groups = Map.groupBy(deployments, ({ name }) => name)
  const routes: Record<string, Mutable> = Object.create(null)
  const aliases: Record<string, Mutable> = Object.create(null)
  for (const [name, group] of groups) {
    const [first] = group as [Deployment]
    if (name.includes('*') || first.model.includes('*')) {
      const model = `${idOf(first)}/${first.model}`
      const fits =
        name.indexOf('*') === name.length - 1 && (!model.includes('*') || model.indexOf('*') === model.length - 1)
      if (!fits) report.missing.push({ at: first.at, why: 'a wildcard is one * at the end of both names here.' })
      else {
        const { defaults, ...more } = first.target
        aliases[name] = { model, ...(defaults ? { defaults } : {}) }
        const lost = [...Object.keys(more), ...(Object.keys(settings.timeouts).length > 0 ? ['timeouts for all'] : [])]
        if (lost.length > 0)
          report.missing.push({
            at: first.at,
            why: `a wildcard has no ${lost.join(', ')}; a route for each model has.`,
          })
      }
      for (const { at } of group.slice(1))
        report.missing.push({ at, why: `a wildcard goes to one place here; "${name}" has it already.` })
      continue
    }
    const weigh = settings.strategy === 'weighted' && group.length > 1 ? weightBy(group) : undefined
    const targets = group.slice(0, MOST_TARGETS).map((deployment): TargetConfiguration => {
      const weight = weigh?.(deployment)
      return {
        upstream: idOf(deployment),
        model: deployment.model,
        ...(weight === undefined ? {} : { weight }),
        ...deployment.target,
      }
    })
    for (const { at } of group.slice(MOST_TARGETS))
      report.missing.push({ at, why: `a route has ${MOST_TARGETS} targets at most.` })
    routes[name] = {
      ...(targets.length > 1 ? { strategy: settings.strategy } : {}),
      targets,
      ...(settings.unsupported ? { unsupported: settings.unsupported } : {}),
      ...(Object.keys(settings.timeouts).length > 0 ? { timeouts: settings.timeouts } : {}),
    }
  }
  for (const [alias, model] of settings.aliases) {
    const at = `router_settings.model_group_alias (${alias})`
    if (Object.hasOwn(routes, alias))
      report.missing.push({ at, why: 'there is a route of that name, which goes first.' })
    else if (alias.includes('*')) report.missing.push({ at, why: 'a name with * stands for a wildcard here.' })
    else aliases[alias] = { model: followed(model, routes, aliases) ?? model }
  }
  return { routes, aliases }
}

/** Without weights of their own deployments are drawn by their rates: of all the same kind, the first that anyone has. */
function weightBy(group: readonly Deployment[]): ((d: Deployment) => number | undefined) | undefined {
  if (group.some(({ target }) => target.weight !== undefined)) return undefined
  for (const kind of ['requests', 'tokens'] as const) {
    if (group.some(({ limits }) => limits[kind] !== undefined)) return ({ limits }) => limits[kind] ?? 0
  }
  return undefined
}

type Names = Readonly<Record<string, Mutable>>
/** The name of a route, or `upstream/model`: what a fallback or an alias may name. Undefined: nobody is called so. */
function followed(name: string, routes: Names, aliases: Names): string | undefined {
  if (Object.hasOwn(routes, name)) return name
  if (Object.hasOwn(aliases, name) && !name.endsWith('*')) return aliases[name]?.model as string
  const [longest] = Object.keys(aliases)
    .filter((alias) => alias.endsWith('*') && name.startsWith(alias.slice(0, -1)))
    .sort((a, b) => b.length - a.length)
  if (longest === undefined) return undefined
  const model = aliases[longest]?.model as string
  return model.endsWith('*') ? model.slice(0, -1) + name.slice(longest.length - 1) : model
}

function addFallbacks(routes: Names, aliases: Names, { fallbacks, otherwise }: Settings, report: Report): void {
  const known = (names: readonly string[], at: string): string[] => {
    const found = names.flatMap((name) => {
      const model = followed(name, routes, aliases)
      if (model === undefined) report.missing.push({ at, why: `there is no model "${name}".` })
      return model ?? []
    })
    return found.slice(0, MOST_FALLBACKS)
  }
  const add = (name: string, kind: string, names: readonly string[]) => {
    const route = routes[name] as Mutable
    if (names.length > 0) route.fallbacks = { ...(route.fallbacks as object | undefined), [kind]: names }
  }
  for (const [kind, chains] of Object.entries(fallbacks) as [string, Chains][]) {
    for (const [name, names] of chains) {
      const at = `fallbacks, ${kind} (${name})`
      const [model] = name === '*' ? [] : [followed(name, routes, aliases)]
      if (name === '*') continue
      if (model === undefined || !Object.hasOwn(routes, model))
        report.missing.push({ at, why: 'only a route has fallbacks, and there is none of this name.' })
      else add(model, kind, known(names, at))
    }
    const rest = chains.get('*') ?? (kind === 'general' ? otherwise : [])
    if (rest.length === 0) continue
    const all = known(rest, `fallbacks, ${kind} (all)`)
    for (const [name, route] of Object.entries(routes)) {
      if (!(route.fallbacks as Mutable | undefined)?.[kind])
        add(
          name,
          kind,
          all.filter((other) => other !== name),
        )
    }
  }
}

function pricesOf(deployments: readonly Deployment[], idOf: (d: Deployment) => string, report: Report): Mutable {
  const prices: Record<string, { rates: Deployment['rates'] }[]> = Object.create(null)
  for (const deployment of deployments) {
    const { at, rates, model } = deployment
    if (Object.keys(rates).length === 0) continue
    const name = `${idOf(deployment)}/${model}`
    const before = prices[name]?.[0]
    if (model.includes('*')) report.missing.push({ at, why: 'a price is of one model, not of a wildcard.' })
    else if (before && JSON.stringify(before.rates) !== JSON.stringify(rates))
      report.missing.push({ at, why: `"${name}" has another price already.` })
    else prices[name] = [{ rates }]
  }
  return prices
}

/** Rates and caps of one deployment: that name, at that upstream. They are rows of the directory and made by commands. */
function limit({ at, name, limits, budget }: Deployment, id: string, modules: Mutable, report: Report): void {
  const { requests, tokens, parallel } = limits
  const what = [
    ...(requests === undefined ? [] : [`--requests ${requests}/minute`]),
    ...(tokens === undefined ? [] : [`--tokens ${tokens}/minute`]),
    ...(parallel === undefined ? [] : [`--parallel ${parallel}`]),
  ]
  if (what.length === 0 && !budget) return
  if (name.includes('*') || /[,=]/.test(name)) {
    report.missing.push({ at, why: 'limits are of one name, which has no * , or = in it.' })
    return
  }
  const scope = `--scope ${quoted(`upstream=${id},model=${name}`)} `
  for (const each of what) report.after.push({ what: `stockyard limits create ${scope}${each}`, why: at })
  if (what.length > 0) modules['rate-limits'] = { mode: 'enforce' }
  if (budget && budgetStep(scope, budget.amount, budget.window, at, report)) modules.budgets = { mode: 'enforce' }
}

function saySecrets(
  deployments: readonly Deployment[],
  places: ReadonlyMap<unknown, NamedPlace>,
  report: Report,
): void {
  const said = new Set<string>()
  for (const { at, place } of deployments) {
    const { id, provider, written } = places.get(place) as NamedPlace
    if (said.has(id)) continue
    said.add(id)
    const { secret, baseUrl, options } = place
    if (isAdopted(place)) {
      report.before.push({
        what: `${provider.environment?.key} is set where the gateway is started`,
        why: `upstream "${id}" is made of it, and does not stand in the file`,
      })
    } else if (secret.kind !== 'none') {
      const variable = secret.kind === 'variable' ? secret.name : `${id.toUpperCase().replace(/\W+/g, '_')}_KEY`
      const words = [
        `stockyard upstreams set ${id} --provider ${provider.id}`,
        ...(baseUrl === undefined ? [] : [`--base-url ${quoted(baseUrl)}`]),
        ...Object.entries(options).map(([name, value]) => `--option ${quoted(`${name}=${value}`)}`),
        `--secret-env ${variable}`,
      ]
      const why =
        secret.kind === 'variable'
          ? `with ${variable} set`
          : `with ${variable} set to what stands in ${at} as ${secret.where}; it is not copied`
      report.before.push({ what: words.join(' '), why })
    } else if (
      written &&
      !provider.local &&
      options.credentials === undefined &&
      options.credentialsFile === undefined
    ) {
      report.differs.push({
        at,
        why: `no key is named, so upstream "${id}" has none; docs/providers.md says what else ${provider.title} takes.`,
      })
    }
  }
}
