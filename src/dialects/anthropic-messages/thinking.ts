/**
 * How much to think, in the model's own terms: a token budget below `max_tokens` for older models, an effort for newer
 * ones. Thinking shares `max_tokens` with the answer, so both are decided here.
 */
import type { WriteContext } from '../../core/dialect.ts'
import type { ChatRequest, JsonObject, Reasoning } from '../../core/request.ts'
import type { ModelRules } from './models.ts'
import { isObject, objectOf } from './vocabulary.ts'

/** Sent where the client gave no limit and the model's own is not known. Models that think by effort give 64,000. */
const DEFAULT_MAX_TOKENS = 4_096
const DEFAULT_WITH_EFFORT = 16_384
const LEAST_BUDGET = 1_024
/** What is left to the answer where a budget would take all. */
const MOST_OF_OUTPUT = 0.8

type Effort = NonNullable<Reasoning['effort']>
const BUDGETS: Readonly<Record<Exclude<Effort, 'none'>, number>> = {
  minimal: 1_024,
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 24_576,
  max: 32_768,
}

export interface ThinkingPlan {
  readonly maxTokens: number
  readonly thinking?: JsonObject
  readonly effort?: string
  /** Sampling parameters are not free while the model thinks. */
  readonly isThinking: boolean
}

/** `isForced`: the model must call a tool, which it cannot do while thinking by request. */
export function thinkingOf(
  request: ChatRequest,
  own: JsonObject,
  rules: ModelRules,
  context: WriteContext,
  isForced: boolean,
  report: (what: string) => void,
): ThinkingPlan {
  const given = request.maxOutputTokens
  const byEffort = rules.thinking === 'adaptive' || rules.thinking === 'both'
  const maxTokens = given ?? context.maxOutputTokens ?? (byEffort ? DEFAULT_WITH_EFFORT : DEFAULT_MAX_TOKENS)
  const { reasoning } = request
  // A client of this same API spoke for itself; only a limit that was narrowed meanwhile can make it wrong.
  if (isObject(own.thinking)) {
    const isThinking = own.thinking.type !== 'disabled'
    const budget = own.thinking.budget_tokens
    if (typeof budget !== 'number' || budget < maxTokens) return { maxTokens, thinking: own.thinking, isThinking }
    const less = fitted(budget, maxTokens, MOST_OF_OUTPUT)
    report(less === undefined ? 'reasoning' : 'reasoning.budget')
    if (less === undefined) return { maxTokens, isThinking: false }
    return { maxTokens, thinking: { ...own.thinking, budget_tokens: less }, isThinking }
  }
  if (!reasoning || objectOf(own.output_config).effort !== undefined) return { maxTokens, isThinking: false }

  const display =
    reasoning.summary === undefined || !rules.display ? {} : { display: reasoning.summary ? 'summarized' : 'omitted' }
  if (reasoning.effort === 'none') return { maxTokens, ...off(rules, report), isThinking: false }
  const isManual = rules.thinking === 'manual' || (rules.thinking === 'both' && reasoning.budgetTokens !== undefined)
  const wantsThought = reasoning.effort !== undefined || reasoning.budgetTokens !== undefined
  // Asking to see thoughts is not asking for them: only a model that thinks anyway is told how to show them.
  const isShown = wantsThought || (rules.thinking === 'adaptive' && rules.thinksUnasked)
  if (!isShown) return { maxTokens, isThinking: false }
  if (isManual) {
    if (isForced) {
      report('reasoning')
      return { maxTokens, isThinking: false }
    }
    const wanted = reasoning.budgetTokens ?? BUDGETS[reasoning.effort ?? 'medium']
    const room = given ?? context.maxOutputTokens ?? Math.max(DEFAULT_MAX_TOKENS, wanted + DEFAULT_MAX_TOKENS)
    const budget = fitted(wanted, room, reasoning.budgetTokens === undefined ? MOST_OF_OUTPUT : 1)
    if (budget === undefined) {
      report('reasoning')
      return { maxTokens, isThinking: false }
    }
    if (reasoning.budgetTokens !== undefined && budget !== wanted) report('reasoning.budget')
    return {
      maxTokens: room,
      thinking: { type: 'enabled', budget_tokens: budget, ...display },
      isThinking: true,
    }
  }
  if (rules.thinking === 'none') {
    report('reasoning')
    return { maxTokens, isThinking: false }
  }
  const effort = effortOf(reasoning, rules, report)
  return {
    maxTokens,
    ...(isForced ? {} : { thinking: { type: 'adaptive', ...display } }),
    ...(effort === undefined ? {} : { effort }),
    isThinking: !isForced,
  }
}

function off(rules: ModelRules, report: (what: string) => void): { thinking?: JsonObject; effort?: string } {
  if (rules.mustThink) {
    report('reasoning.effort')
    return { effort: 'low' }
  }
  return rules.thinksUnasked ? { thinking: { type: 'disabled' } } : {}
}

function effortOf(reasoning: Reasoning, rules: ModelRules, report: (what: string) => void): string | undefined {
  const { effort, budgetTokens } = reasoning
  if (effort === undefined && budgetTokens !== undefined) {
    report('reasoning.budget')
    if (budgetTokens <= BUDGETS.low) return 'low'
    if (budgetTokens <= BUDGETS.medium) return 'medium'
    return budgetTokens <= BUDGETS.xhigh ? 'high' : 'max'
  }
  if (effort === 'minimal') return 'low'
  if (effort === 'xhigh' && rules.topEffort !== 'xhigh') {
    report('reasoning.effort')
    return 'high'
  }
  return effort
}

/** A budget the API takes beside this limit: at least 1,024, at most that share of the limit, and less than it. */
function fitted(budget: number, maxTokens: number, share: number): number | undefined {
  const most = Math.max(LEAST_BUDGET, Math.min(maxTokens - 1, Math.floor(maxTokens * share)))
  return maxTokens > LEAST_BUDGET ? Math.max(LEAST_BUDGET, Math.min(budget, most)) : undefined
}
