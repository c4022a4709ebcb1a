/** LiteLLM's `router_settings`, `litellm_settings` and `general_settings`, as modules and as what all routes have. */
import type { StrategyName } from '../../core/store.ts'
import { windowOf } from '../../modules/litellm-api/durations.ts'
import { milliseconds, NO_SUCH, timeoutsOf } from './deployments.ts'
import { type Fields, isOn, listOf, type Row, rowOf, textsOf } from './fields.ts'
import type { Report } from './report.ts'

export type Chains = ReadonlyMap<string, readonly string[]>
export interface Settings {
  readonly modules: Readonly<Record<string, Row>>
  readonly strategy: StrategyName
  readonly timeouts: Readonly<Record<string, number>>
  readonly unsupported?: 'drop' | 'reject'
  readonly fallbacks: { readonly general: Chains; readonly contextWindow: Chains; readonly contentPolicy: Chains }
  /** For every name without general fallbacks of its own. */
  readonly otherwise: readonly string[]
  readonly aliases: ReadonlyMap<string, string>
  readonly budgets: readonly {
    readonly provider: string
    readonly amount: number
    readonly window: string | undefined
  }[]
}
export interface Sections {
  readonly router: Fields
  readonly library: Fields
  readonly general: Fields
}

const STRATEGIES: Readonly<Record<string, StrategyName>> = {
  'simple-shuffle': 'weighted',
  'least-busy': 'least-busy',
  'usage-based-routing': 'usage',
  'usage-based-routing-v2': 'usage',
  'latency-based-routing': 'latency',
  'cost-based-routing': 'cost',
}
const REASONS: readonly (readonly [fields: RegExp, why: string])[] = [
  [
    /redis|^cache_kwargs$|^cache_responses$/,
    'one process keeps everything in its own data directory; nothing is shared over Redis.',
  ],
  [
    /callback|^callbacks$|langfuse|message_logging/,
    'nothing is sent to other services; see module logs, GET /metrics and GET /api/usage.',
  ],
  [
    /^database_|^store_model_in_db$|spend_(?:logs|updates)|^use_redis|^supported_db/,
    'the data directory is the database; the ledger is always kept.',
  ],
  [/^alert|^slack/, 'of alerts there are those of budgets: webhookUrl and thresholds of module budgets.'],
  [/verbose|debug|json_logs/, 'what the program logs is said with --log-level.'],
  [/guardrail|presidio|pii/, 'see modules guardrails and pii; their rules are written anew.'],
  [/health_check/, 'see healthCheck of an upstream.'],
  [/jwt|oauth|^ui_|sso/, 'see docs/access.md for sign-in and signed tokens.'],
  [
    /internal_user|team_settings|default_team|upperbound|key_generation/,
    'limits and budgets of users and teams are made with them: docs/limits.md.',
  ],
  [
    /retry_policy|allowed_fails_policy/,
    'what is worth another try follows from the error; how often is a setting of module failover.',
  ],
  [/mcp/, 'tool servers are not routed here.'],
]
const reasonOf = (field: string): string => REASONS.find(([fields]) => fields.test(field))?.[1] ?? NO_SUCH

export function settingsOf({ router, library, general }: Sections, report: Report): Settings {
  const missing = (section: Fields, field: string, why: string) =>
    report.missing.push({ at: `${section.at}.${field}`, why })
  const differs = (section: Fields, field: string, why: string) =>
    report.differs.push({ at: `${section.at}.${field}`, why })
  const modules: Record<string, Row> = {}

  const wanted = router.text('routing_strategy') ?? 'simple-shuffle'
  if (!Object.hasOwn(STRATEGIES, wanted))
    missing(router, 'routing_strategy', `there is no strategy like "${wanted}"; targets are drawn by weight.`)
  const strategy = STRATEGIES[wanted] ?? 'weighted'

  const chains = (field: string): Chains => {
    const own = router.take(field)
    const other = library.take(field)
    const found = new Map<string, string[]>()
    for (const one of listOf(own ?? other)) {
      const row = rowOf(one)
      if (!row) missing(own === undefined ? library : router, field, 'not a list of names and what they fall back to.')
      for (const [name, names] of Object.entries(row ?? {})) {
        const texts = textsOf(names)
        if (texts.length < listOf(names).length)
          missing(router, `${field} (${name})`, 'a fallback is a name here, without fields of its own.')
        if (texts.length > 0) found.set(name, [...(found.get(name) ?? []), ...texts])
      }
    }
    return found
  }
  const fallbacks = {
    general: chains('fallbacks'),
    contextWindow: chains('context_window_fallbacks'),
    contentPolicy: chains('content_policy_fallbacks'),
  }
  const others = router.take('default_fallbacks')
  const otherwise = textsOf(others ?? library.take('default_fallbacks'))
  library.take('default_fallbacks')

  const again = router.number('num_retries') ?? library.number('num_retries')
  library.take('num_retries')
  const failover: Record<string, number> = {}
  if (again !== undefined) {
    const each = Math.min(10, Math.floor(again) + 1)
    const longest = Math.max(
      0,
      otherwise.length,
      ...Object.values(fallbacks).flatMap((all) => [...all.values()].map((names) => names.length)),
    )
    Object.assign(failover, { attemptsPerTarget: each, attempts: Math.min(20, each + longest) })
    differs(router, 'num_retries', 'here attempts are counted over all targets of a route and its fallbacks together.')
  }
  const pause = router.number('retry_after')
  if (pause !== undefined) failover.firstBackoffMs = Math.min(4_000, Math.round(pause * 1_000))
  if (Object.keys(failover).length > 0) modules.failover = { mode: 'enforce', settings: failover }

  const breakers: Record<string, number> = {}
  const allowed = router.number('allowed_fails') ?? library.number('allowed_fails')
  library.take('allowed_fails')
  if (allowed !== undefined) {
    Object.assign(breakers, { minimumCalls: Math.floor(allowed) + 1, windowMs: 60_000 })
    differs(
      router,
      'allowed_fails',
      'here a target rests when half of its calls of a minute failed (failureRatio), and there were more than so many.',
    )
  }
  const cooldown = router.number('cooldown_time') ?? library.number('cooldown_time')
  library.take('cooldown_time')
  if (cooldown !== undefined) breakers.cooldownMs = Math.min(3_600_000, Math.max(100, Math.round(cooldown * 1_000)))
  if (isOn(router.take('disable_cooldowns'))) modules.breakers = { mode: 'off' }
  else if (Object.keys(breakers).length > 0) modules.breakers = { mode: 'enforce', settings: breakers }

  const seconds = router.number('timeout') ?? library.number('request_timeout')
  library.take('request_timeout')
  const timeouts = timeoutsOf(seconds, router.number('stream_timeout') ?? seconds)

  const dropped = library.take('drop_params')
  if (isOn(library.take('cache')))
    modules.cache = cacheOf(rowOf(library.take('cache_params')) ?? {}, library.at, report)
  else library.take('cache_params')

  const aliases = new Map<string, string>()
  for (const [alias, value] of Object.entries(
    rowOf(router.take('model_group_alias') ?? library.take('model_group_alias')) ?? {},
  )) {
    const model = typeof value === 'string' ? value : rowOf(value)?.model
    if (typeof model === 'string' && model !== '') aliases.set(alias, model)
    else missing(router, `model_group_alias (${alias})`, 'it names no model.')
    if (isOn(rowOf(value)?.hidden))
      differs(router, `model_group_alias (${alias})`, 'aliases are in the list of models.')
  }

  if (general.take('master_key') ?? library.take('master_key')) {
    modules.keys = { mode: 'enforce' }
    differs(
      general,
      'master_key',
      'it is not copied. Every call needs a key now (module keys): those of LiteLLM are in its database and have to be made anew. What administers sends the admin key (STOCKYARD_ADMIN_KEY); module litellm-api takes scripts on.',
    )
    report.after.push({ what: 'stockyard keys create --name first', why: 'callers need a key of this gateway' })
  }
  const most = general.number('global_max_parallel_requests')
  if (most) {
    modules['rate-limits'] = { mode: 'enforce' }
    report.after.push({
      what: `stockyard limits create --parallel ${Math.floor(most)}`,
      why: 'general_settings.global_max_parallel_requests',
    })
  }
  const budgets: { provider: string; amount: number; window: string | undefined }[] = []
  for (const [provider, value] of Object.entries(rowOf(router.take('provider_budget_config')) ?? {})) {
    const { budget_limit: amount, max_budget: other = amount, time_period: window } = rowOf(value) ?? {}
    if (typeof other === 'number')
      budgets.push({ provider, amount: other, window: typeof window === 'string' ? window : undefined })
    else missing(router, `provider_budget_config (${provider})`, 'it has no budget_limit.')
  }
  const cap = library.number('max_budget') ?? general.number('max_budget')
  const span = library.text('budget_duration') ?? general.text('budget_duration')
  general.take('max_budget')
  general.take('budget_duration')
  if (cap !== undefined) budgetStep('', cap, span, `${library.at}.max_budget`, report)
  const person = library.number('max_end_user_budget')
  if (person !== undefined)
    budgetStep("--scope 'endUser=*' ", person, undefined, `${library.at}.max_end_user_budget`, report)
  if (cap !== undefined || person !== undefined) modules.budgets = { mode: 'enforce' }

  if (isOn(router.take('enable_pre_call_checks'))) differs(router, 'enable_pre_call_checks', 'it is always so.')
  if (isOn(router.take('enable_tag_filtering'))) {
    differs(
      router,
      'enable_tag_filtering',
      'clients ask for targets by tag with x-stockyard-require-tags, and the target must have all of them.',
    )
  }
  for (const section of [router, library, general])
    for (const field of section.left()) missing(section, field, reasonOf(field))
  return {
    modules,
    strategy,
    timeouts,
    ...(dropped === undefined ? {} : { unsupported: isOn(dropped) ? 'drop' : 'reject' }),
    fallbacks,
    otherwise,
    aliases,
    budgets,
  }
}

function cacheOf({ type = 'local', ttl, ...rest }: Row, at: string, report: Report): Row {
  if (typeof type === 'string' && /semantic/.test(type)) {
    report.differs.push({ at: `${at}.cache_params.type`, why: 'only equal requests are answered, not similar ones.' })
  } else if (type !== 'local') {
    report.differs.push({
      at: `${at}.cache_params.type`,
      why: 'answers are kept in the data directory of this gateway, for their owner only.',
    })
  }
  const seconds = typeof ttl === 'number' ? Math.floor(milliseconds(ttl) / 1_000) : undefined
  const left = Object.keys(rest)
  if (left.length > 0)
    report.missing.push({ at: `${at}.cache_params`, why: `${left.join(', ')}: there are no such settings here.` })
  return { mode: 'enforce', ...(seconds ? { settings: { ttlSeconds: seconds } } : {}) }
}

/** A cap is a row of the directory, not of the file: it is made by a command. */
export function budgetStep(
  scope: string,
  amount: number,
  window: string | undefined,
  at: string,
  report: Report,
): boolean {
  try {
    const found = windowOf(window)
    const text = found.kind === 'calendar' ? found.unit : found.kind === 'rolling' ? `${found.seconds}s` : 'lifetime'
    report.after.push({ what: `stockyard budgets create ${scope}--amount ${amount} --window ${text}`, why: at })
    return true
  } catch (error) {
    report.missing.push({ at, why: (error as Error).message })
    return false
  }
}
