/**
 * How hard to think, per generation of models: a budget of tokens up to 2.5, a level from 3 on (which still takes a
 * budget, but not both). Figures are those Google documents for its own OpenAI-compatible endpoint. Some models cannot
 * switch thinking off; then the least there is goes out, and that is reported.
 */
import type { JsonObject, Reasoning } from '../../core/request.ts'

type Effort = NonNullable<Reasoning['effort']>

const BUDGETS: Readonly<Record<Effort, number>> = {
  none: 0,
  minimal: 1_024,
  low: 1_024,
  medium: 8_192,
  high: 24_576,
  xhigh: 24_576,
  max: 24_576,
}
const MOST_OF_PRO = 32_768
const LEAST_OF_PRO = 128
const MOST_OF_OTHERS = 24_576

export function thinkingConfig(
  reasoning: Reasoning,
  model: string,
  generation: number | undefined,
  report: (what: string) => void,
): JsonObject {
  const { effort, budgetTokens, summary } = reasoning
  if (generation !== undefined && generation < 2.5) {
    if (effort !== undefined || budgetTokens !== undefined) report('reasoning')
    return {}
  }
  const isPro = /\bpro\b/.test(model)
  const shown = summary === undefined ? {} : { includeThoughts: summary }
  if (generation !== undefined && generation >= 3 && effort !== undefined) {
    return { ...shown, thinkingLevel: levelOf(effort, isPro, generation, report) }
  }
  const wanted = budgetTokens ?? (effort === undefined ? undefined : BUDGETS[effort])
  if (wanted === undefined) return shown
  // −1 lets the model decide.
  const most = isPro ? MOST_OF_PRO : MOST_OF_OTHERS
  const least = isPro ? LEAST_OF_PRO : 0
  const budget = wanted < 0 ? -1 : Math.max(least, Math.min(most, Math.round(wanted)))
  if (budget !== -1 && budget !== wanted) report('reasoning.budget')
  return { ...shown, thinkingBudget: budget }
}

/** `minimal` is for the small models; the first pro of generation 3 had no middle. */
function levelOf(effort: Effort, isPro: boolean, generation: number, report: (what: string) => void): string {
  switch (effort) {
    case 'none':
      report('reasoning.effort')
      return isPro ? 'low' : 'minimal'
    case 'minimal':
      return isPro ? 'low' : 'minimal'
    case 'low':
      return 'low'
    case 'medium':
      return isPro && generation === 3 ? 'high' : 'medium'
    case 'high':
    case 'xhigh':
    case 'max':
      return 'high'
  }
}
