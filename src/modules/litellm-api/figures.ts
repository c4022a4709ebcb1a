/** Money and rates of a key, a team or a user: LiteLLM's fields are rows of their own here, read and written as such. */
import type { Budget, Limit, Selector } from '../../core/directory.ts'
import { badRequest, failure } from '../../core/errors.ts'
import type { AdminCall, Host } from '../../core/module.ts'
import { formatDollars, nanoUsdOf, parseDollars } from '../../core/money.ts'
import type { JsonObject } from '../../core/request.ts'
import { durationOf, spanOf, windowOf } from './durations.ts'
import type { Undo } from './steps.ts'

/** Exactly whose they are: `{key: …}`, `{team: …}`, `{user: …}`, or a user in a team. */
export type Whose = Pick<Selector, 'key' | 'team' | 'user'>

const RATES = { tpm_limit: 'tokens', rpm_limit: 'requests', max_parallel_requests: 'parallel' } as const
const MODEL_RATES = { model_tpm_limit: 'tokens', model_rpm_limit: 'requests' } as const
const MONEY = ['max_budget', 'soft_budget', 'budget_duration', 'model_max_budget']

const anchorOf = ({ key, user, team }: Whose): string =>
  key !== undefined ? `key:${key}` : user !== undefined ? `user:${user}` : `team:${team}`
const isAbout = (scope: Selector, whose: Whose, model: boolean): boolean => {
  const names = Object.entries(whose)
  return (
    Object.keys(scope).length === names.length + (model ? 1 : 0) &&
    (scope.model !== undefined) === model &&
    names.every(([name, value]) => scope[name as 'key'] === value)
  )
}

/** What is set, in the order in which it was made. */
function rowsOf(host: Host, whose: Whose) {
  const listing = { anchor: anchorOf(whose), limit: 10_000 }
  const of = <F extends { readonly scope: Selector; readonly createdAt: number }>(rows: readonly F[], model: boolean) =>
    rows.filter(({ scope }) => isAbout(scope, whose, model)).sort((a, b) => a.createdAt - b.createdAt)
  const budgets = host.directory.list('budget', listing)
  const limits = host.directory.list('limit', listing)
  const own = of(budgets, false)
  return {
    hard: own.find(({ hard }) => hard !== false),
    soft: own.find(({ hard }) => hard === false),
    limits: of(limits, false),
    modelBudgets: of(budgets, true).filter(({ hard }) => hard !== false),
    modelLimits: of(limits, true),
  }
}

/** As answers say them. What was spent is of the budget's window, if there is one. */
export async function figuresOf(host: Host, whose: Whose): Promise<JsonObject> {
  const { hard, soft, limits, modelBudgets, modelLimits } = rowsOf(host, whose)
  const now = host.now()
  const span = hard && spanOf(hard.window, now)
  const sums = await host.ledger.sums({ from: span?.from ?? 0, where: whose })
  const spent = sums.reduce((sum, { cost }) => sum + cost, 0n)
  const rate = (counts: Limit['counts']) =>
    limits.find((limit) => limit.counts === counts && (limit.per ?? 'minute') === 'minute')?.amount ?? null
  const perModel = <T>(rows: readonly { readonly scope: Selector }[], of: (row: never) => T) =>
    Object.fromEntries(rows.map((row) => [row.scope.model as string, of(row as never)]))
  const limited = (counts: Limit['counts']) =>
    perModel(
      modelLimits.filter((limit) => limit.counts === counts && limit.per === 'minute'),
      ({ amount }: Limit) => amount,
    )
  const window = (hard ?? soft)?.window
  return {
    spend: Number(formatDollars(nanoUsdOf(spent))),
    max_budget: hard ? Number(hard.amountUsd) : null,
    soft_budget: soft ? Number(soft.amountUsd) : null,
    budget_duration: window ? durationOf(window) : null,
    budget_reset_at: span?.until === undefined ? null : new Date(span.until).toISOString(),
    tpm_limit: rate('tokens'),
    rpm_limit: rate('requests'),
    max_parallel_requests: rate('parallel'),
    model_max_budget: perModel(modelBudgets, ({ amountUsd, window }: Budget) => ({
      budget_limit: Number(amountUsd),
      time_period: durationOf(window),
    })),
    model_tpm_limit: limited('tokens'),
    model_rpm_limit: limited('requests'),
  }
}

function dollars(amount: number, field: string): string {
  const text = amount.toFixed(9).replace(/\.?0+$/, '') || '0'
  if (amount > 0 && parseDollars(text) === 0n) throw badRequest(`${field}: less than a billionth of a dollar.`, field)
  return text
}

/** Throws where what is asked for would be looked at by nobody, or cannot be read; changes nothing. */
export function checkFigures(call: AdminCall, asked: JsonObject): void {
  const demand = (module: string, fields: readonly string[]): void => {
    const field = fields.find((name) => asked[name] !== undefined && asked[name] !== null && !isNothing(asked[name]))
    if (field === undefined || call.modeOf(module) === 'enforce') return
    throw failure('conflict', {
      problem: `"${field}" would not be honored: module "${module}" is ${call.modeOf(module)}. Switch it on first (PUT /api/modules/${module}).`,
    })
  }
  demand('budgets', MONEY)
  demand('rate-limits', [...Object.keys(RATES), ...Object.keys(MODEL_RATES)])
  if (typeof asked.budget_duration === 'string') windowOf(asked.budget_duration)
  for (const [, told] of entriesOf(asked.model_max_budget)) {
    if (typeof told === 'object') windowOf((told as { time_period?: string }).time_period, 'model_max_budget')
  }
}
const isNothing = (value: unknown): boolean => typeof value === 'object' && Object.keys(value as object).length === 0
const entriesOf = (value: unknown): [string, unknown][] => Object.entries((value ?? {}) as object)

/** Makes the rows what is asked for: an absent field stays, null takes away. */
export async function setFigures(
  host: Host,
  call: AdminCall,
  whose: Whose,
  asked: JsonObject,
  undo: Undo,
): Promise<void> {
  const { hard, soft, limits, modelBudgets, modelLimits } = rowsOf(host, whose)

  async function make(kind: 'limits' | 'budgets', row: JsonObject): Promise<void> {
    const { id } = (await call.api('POST', kind, row)) as { id: string }
    undo(() => call.api('DELETE', `${kind}/${id}`))
  }
  async function remove(kind: 'limits' | 'budgets', row: Limit | Budget): Promise<void> {
    await call.api('DELETE', `${kind}/${row.id}`)
    const { version: _, createdAt: __, updatedAt: ___, ...draft } = row
    undo(() => call.api('POST', kind, draft as unknown as JsonObject))
  }

  async function limit(row: Limit | undefined, wanted: unknown, draft: JsonObject): Promise<void> {
    if (wanted === undefined || wanted === row?.amount) return
    if (wanted === null) return row && remove('limits', row)
    if (!row) return make('limits', { ...draft, amount: wanted as number })
    await call.api('PUT', `limits/${row.id}`, { amount: wanted as number })
    undo(() => call.api('PUT', `limits/${row.id}`, { amount: row.amount }))
  }
  async function budget(row: Budget | undefined, wanted: unknown, duration: unknown, draft: JsonObject, field: string) {
    if (wanted === null) return row && remove('budgets', row)
    if (wanted === undefined && (duration === undefined || !row)) return
    const window = duration === undefined && row ? row.window : windowOf(duration as string | null | undefined)
    const amountUsd = wanted === undefined ? (row as Budget).amountUsd : dollars(wanted as number, field)
    const told = { amountUsd, window: window as unknown as JsonObject }
    if (!row) return make('budgets', { ...draft, ...told })
    await call.api('PUT', `budgets/${row.id}`, told)
    const before = { amountUsd: row.amountUsd, window: row.window as unknown as JsonObject }
    undo(() => call.api('PUT', `budgets/${row.id}`, before))
  }

  const scope = whose as JsonObject
  for (const [field, counts] of Object.entries(RATES)) {
    const per = counts === 'parallel' ? {} : { per: 'minute' }
    const row = limits.find((one) => one.counts === counts && (one.per ?? 'minute') === 'minute')
    await limit(row, asked[field], { scope, counts, ...per })
  }
  for (const [field, counts] of Object.entries(MODEL_RATES)) {
    if (asked[field] === undefined) continue
    const wanted = new Map(entriesOf(asked[field]))
    const rows = modelLimits.filter((one) => one.counts === counts && one.per === 'minute')
    for (const row of rows) if (!wanted.has(row.scope.model as string)) await remove('limits', row)
    for (const [model, amount] of wanted) {
      const row = rows.find((one) => one.scope.model === model)
      await limit(row, amount, { scope: { ...scope, model }, counts, per: 'minute' })
    }
  }
  const { max_budget, soft_budget, budget_duration } = asked
  if (max_budget === undefined && soft_budget === undefined && typeof budget_duration === 'string' && !hard && !soft) {
    throw badRequest('"budget_duration" needs a "max_budget" or a "soft_budget".', 'budget_duration')
  }
  await budget(hard, max_budget, budget_duration, { scope }, 'max_budget')
  await budget(soft, soft_budget, budget_duration, { scope, hard: false }, 'soft_budget')
  if (asked.model_max_budget === undefined) return
  const wanted = new Map(entriesOf(asked.model_max_budget))
  for (const row of modelBudgets) if (!wanted.has(row.scope.model as string)) await remove('budgets', row)
  for (const [model, told] of wanted) {
    const { budget_limit, time_period } = (typeof told === 'number' ? { budget_limit: told } : told) as {
      budget_limit: number
      time_period?: string
    }
    const row = modelBudgets.find((one) => one.scope.model === model)
    await budget(row, budget_limit, time_period ?? null, { scope: { ...scope, model } }, 'model_max_budget')
  }
}
