/**
 * A route's own rules, compiled once a snapshot, and how they put the targets of one exchange in order: rules, splits,
 * the client's wishes, filters, strategy, stickiness. Each step that decides something says so in the trace.
 */
import { badRequest, failure } from '../errors.ts'
import type { Exchange, FallbackReason, Plan, Target } from '../exchange.ts'
import { parseDollars } from '../money.ts'
import type { PriceCapConfiguration, RouteConfiguration } from '../store.ts'
import type { PriceCap } from '../usage.ts'
import { type Condition, compileCondition } from './conditions.ts'
import {
  contextFilter,
  type Filter,
  modalityFilter,
  parameterFilter,
  priceFilter,
  roomiest,
  tagFilter,
} from './filters.ts'
import type { Pins } from './health.ts'
import { isUsable } from './pool.ts'
import { affinityOf, personOf, type Sticky, shareOf } from './sticky.ts'
import { byThroughput, STRATEGIES, type Strategy } from './strategies.ts'
import { isNamed, type Wishes } from './wishes.ts'

export interface RouteRules {
  readonly strategy: Strategy
  readonly strategyName: string
  readonly sticky?: Sticky
  readonly conditional: readonly {
    readonly name: string
    readonly when: readonly Condition[]
    readonly use: readonly string[]
  }[]
  readonly splits: readonly { readonly name: string; readonly percent: number; readonly use: readonly string[] }[]
  readonly mirror?: { readonly target: Target; readonly percent: number }
  readonly maxPrice?: PriceCap
  readonly requireParameters: boolean
  readonly continuations: number
  /** Counts this route's exchanges, for strategies that take turns. */
  turn: number
}

export interface RoutingPorts {
  readonly pins: Pins
  now(): number
}

export const compileCap = ({ input, output }: PriceCapConfiguration): PriceCap => ({
  ...(input === undefined ? {} : { input: parseDollars(input) }),
  ...(output === undefined ? {} : { output: parseDollars(output) }),
})

/** Undefined for a plain list of targets: such a route costs nothing. Throws `invalid_request` for rules without sense. */
export function compileRules(route: RouteConfiguration, targets: readonly Target[], mirror: Target | undefined) {
  const { strategy = 'priority', sticky, rules = [], splits = [], maxPrice, continuations = 0 } = route
  // Targets that differ in what they can take have to be looked at; one alone, or equals, need not be.
  const kinds = new Set(targets.map(({ capabilities }) => JSON.stringify(capabilities)))
  const plain =
    strategy === 'priority' &&
    !sticky &&
    !rules.length &&
    !splits.length &&
    !mirror &&
    !maxPrice &&
    !route.requireParameters &&
    !continuations &&
    kinds.size < 2 &&
    targets.every(isPlain)
  if (plain) return undefined
  if (splits.reduce((sum, { percent }) => sum + percent, 0) > 100) {
    throw badRequest('splits: their percentages exceed 100.', 'splits')
  }
  for (const tag of [...rules, ...splits].flatMap(({ use }) => use)) {
    if (!route.targets.some(({ tags }) => tags?.includes(tag))) {
      throw badRequest(`rules: no target of this route is tagged "${tag}".`, 'targets')
    }
  }
  return {
    strategy: STRATEGIES[strategy],
    strategyName: strategy,
    conditional: rules.map(({ name, when, use }, i) => ({
      name: name ?? `rule ${i + 1}`,
      when: when.map(compileCondition),
      use,
    })),
    splits: splits.map(({ name, percent, use }, i) => ({ name: name ?? `split ${i + 1}`, percent, use })),
    ...(sticky
      ? {
          sticky: {
            by: sticky.by ?? ['session', 'prompt-cache-key', 'prefix'],
            ttlMs: (sticky.ttlSeconds ?? 3_600) * 1_000,
          },
        }
      : {}),
    ...(mirror ? { mirror: { target: mirror, percent: route.mirror?.percent ?? 100 } } : {}),
    ...(maxPrice ? { maxPrice: compileCap(maxPrice) } : {}),
    requireParameters: route.requireParameters ?? false,
    continuations,
    turn: 0,
  } satisfies RouteRules
}

const isPlain = ({ order, maxPrice }: Target): boolean => order === undefined && maxPrice === undefined

const PLAIN_RULES: RouteRules = {
  strategy: STRATEGIES.priority,
  strategyName: 'priority',
  conditional: [],
  splits: [],
  requireParameters: false,
  continuations: 0,
  turn: 0,
}

export const nameOf = ({ upstream, model }: Target): string => `${upstream.id}/${model}`

/** `dry`: as it would be, without taking a turn. Throws where a wish or a policy leaves nothing. */
export function arrange(x: Exchange, plan: Plan, wishes: Wishes | undefined, ports: RoutingPorts, dry: boolean): Plan {
  const rules = plan.rules ?? PLAIN_RULES
  const now = ports.now()
  const say = (decision: string, reason: string): void =>
    void x.trace.push({ phase: 'route', module: '', decision, reason })
  const own = plan.targets.filter(({ fallback }) => !fallback)
  let targets = divided(x, selected(x, own, rules, now, say), rules, say)
  const others = plan.targets.filter(({ fallback }) => fallback)
  const fits = filterFor(x, rules, wishes, now, say)
  const fallbacks = wishes?.noFallback ? [] : fits([...others, ...wished(x, plan, wishes, say)]).left
  targets = chosen(x, targets, fallbacks, fits, wishes, say)
  const turn = dry ? rules.turn : rules.turn++
  const strategy = wishes?.sort ? SORTS[wishes.sort] : rules.strategy
  targets = ordered(targets, plan, now, (tier) => strategy(tier, { x, now, turn }))
  if (strategy !== STRATEGIES.priority)
    say(wishes?.sort ? 'client sort' : rules.strategyName, targets.map(nameOf).join(', '))
  if (wishes && wishes.order.length > 0) {
    const rank = (target: Target): number => {
      const at = wishes.order.findIndex((name) => isNamed(target, [name]))
      return at < 0 ? wishes.order.length : at
    }
    targets = [...targets].sort((a, b) => rank(a) - rank(b))
    say('client order', targets.map(nameOf).join(', '))
  }
  if (rules.sticky) targets = stuck(x, targets, plan, rules.sticky, ports, now, say)
  if (!wishes?.noFallback) return { ...plan, targets: [...targets, ...fallbacks] }
  return { ...plan, targets: targets.slice(0, 1), retry: { ...plan.retry, attempts: plan.retry.attemptsPerTarget } }
}

const SORTS = { price: STRATEGIES.cost, latency: STRATEGIES.latency, throughput: byThroughput } as const

/** Other models a client wants tried: those it might have asked for in the first place. */
function wished(x: Exchange, plan: Plan, wishes: Wishes | undefined, say: Say): readonly Target[] {
  const found: Target[] = []
  for (const model of wishes?.models ?? []) {
    if (model === x.model) continue
    if (x.principal?.mayAsk && !x.principal.mayAsk(model)) {
      say('client model', `"${model.slice(0, 200)}" is not for this key`)
      continue
    }
    for (const target of x.names.resolve(model).targets) {
      if (x.principal?.mayCall && !x.principal.mayCall(target.upstream.id)) continue
      if (!target.fallback && !plan.targets.includes(target)) found.push({ ...target, fallback: 'general' })
    }
  }
  if (found.length > 0) say('client models', found.map(nameOf).join(', '))
  return found
}

type Say = (decision: string, reason: string) => void

function selected(
  x: Exchange,
  targets: readonly Target[],
  rules: RouteRules,
  now: number,
  say: Say,
): readonly Target[] {
  const rule = rules.conditional.find(({ when }) => when.every((holds) => holds(x, now)))
  if (!rule) return targets
  const chosen = targets.filter(({ tags }) => tags?.some((tag) => rule.use.includes(tag)))
  say(rule.name, chosen.map(nameOf).join(', '))
  return chosen
}

/** Each person on one side. Who is in no split gets the targets that are in none. */
function divided(x: Exchange, targets: readonly Target[], rules: RouteRules, say: Say): readonly Target[] {
  if (rules.splits.length === 0) return targets
  const person = personOf(x)
  let point = (person === undefined ? Math.random() : shareOf(`${x.model}\n${person}`)) * 100
  const has = ({ tags }: Target, use: readonly string[]): boolean => tags?.some((tag) => use.includes(tag)) ?? false
  for (const { name, percent, use } of rules.splits) {
    if (point < percent) {
      const chosen = targets.filter((target) => has(target, use))
      if (chosen.length === 0) return targets
      say(name, chosen.map(nameOf).join(', '))
      return chosen
    }
    point -= percent
  }
  const rest = targets.filter((target) => !rules.splits.some(({ use }) => has(target, use)))
  if (rest.length === 0) return targets
  say('in no split', rest.map(nameOf).join(', '))
  return rest
}

type Fits = (
  targets: readonly Target[],
  more?: Filter,
) => { readonly left: readonly Target[]; readonly reasons: readonly string[] }

/** Everything that rules a target out before it is called, as one function. */
function filterFor(x: Exchange, rules: RouteRules, wishes: Wishes | undefined, now: number, say: Say): Fits {
  const filters: Filter[] = []
  if (wishes) {
    const { only, ignore, tags, anyTags } = wishes
    if (only.length > 0) filters.push((t) => (isNamed(t, only) ? undefined : 'is not among those you named'))
    if (ignore.length > 0) filters.push((t) => (isNamed(t, ignore) ? 'is one that you ruled out' : undefined))
    if (tags.length + anyTags.length > 0) filters.push(tagFilter(tags, anyTags))
  }
  const caps = [rules.maxPrice, wishes?.maxPrice].filter((cap) => cap !== undefined)
  filters.push(priceFilter(caps, (target) => x.prices.of(target, now, x.principal)))
  if (rules.requireParameters || wishes?.requireParameters) filters.push(parameterFilter(x))
  filters.push(modalityFilter(x))
  return (targets, more) => {
    const reasons: string[] = []
    const left = targets.filter((target) => {
      for (const filter of more ? [more] : filters) {
        const reason = filter(target)
        if (reason === undefined) continue
        reasons.push(`${nameOf(target)} ${reason}`)
        say('left out', `${nameOf(target)} ${reason}`)
        return false
      }
      return true
    })
    return { left, reasons }
  }
}

/** The route's own targets that fit; for a prompt that is too long for all of them, those that are there for that. */
function chosen(
  x: Exchange,
  targets: readonly Target[],
  fallbacks: readonly Target[],
  fits: Fits,
  wishes: Wishes | undefined,
  say: Say,
): readonly Target[] {
  const { left, reasons } = fits(targets)
  if (left.length === 0) {
    const problem = reasons.join('; ')
    if (wishes) throw badRequest(`No target of "${x.model.slice(0, 200)}" fits this request: ${problem}.`)
    throw failure('no_target', { problem }, undefined, { status: 400, blame: 'client' })
  }
  const context = contextFilter(x)
  const short = fits(left, context).left
  if (short.length > 0) return short
  const longer = fallbacks.filter((target) => isFor(target, 'context-window') && context(target) === undefined)
  if (longer.length > 0) {
    say('context window', longer.map(nameOf).join(', '))
    return longer
  }
  const largest = roomiest(left)
  return largest ? [largest] : left
}

export const isFor = ({ fallback }: Target, reason: FallbackReason): boolean => fallback === reason

/** Tier by tier; within each the strategy decides among those that can be called now, and the others come last. */
function ordered(
  targets: readonly Target[],
  plan: Plan,
  now: number,
  sort: (tier: readonly Target[]) => readonly Target[],
): readonly Target[] {
  const tiers = new Map<number, Target[]>()
  for (const target of targets) {
    const tier = tiers.get(target.order ?? 0)
    if (tier) tier.push(target)
    else tiers.set(target.order ?? 0, [target])
  }
  return [...tiers]
    .sort(([a], [b]) => a - b)
    .flatMap(([, tier]) => {
      const usable = plan.breaker ? tier.filter((target) => isUsable(target, now)) : tier
      if (usable.length === tier.length) return sort(tier)
      return [...(usable.length > 0 ? sort(usable) : []), ...tier.filter((target) => !usable.includes(target))]
    })
}

function stuck(
  x: Exchange,
  targets: readonly Target[],
  plan: Plan,
  sticky: Sticky,
  ports: RoutingPorts,
  now: number,
  say: Say,
): readonly Target[] {
  const affinity = affinityOf(x, sticky)
  if (affinity === undefined) return targets
  x.affinity = { name: affinity, ttlMs: sticky.ttlMs }
  const pinned = ports.pins.get(affinity, now)
  const target = targets.find((one) => nameOf(one) === pinned)
  if (!target || (plan.breaker && !isUsable(target, now))) return targets
  // A conversation that fled from a failing target goes home when that one is back.
  const first = targets.find((one) => !plan.breaker || isUsable(one, now))
  if ((target.order ?? 0) > (first?.order ?? 0)) return targets
  say('stays', nameOf(target))
  return [target, ...targets.filter((one) => one !== target)]
}
