/** The rules of one direction, made ready once for each settings change. */
import type { Exchange } from '../../core/exchange.ts'
import type { Host } from '../../core/module.ts'
import { type Looks, looksOf } from './looks.ts'
import { isRemote } from './remote/index.ts'
import type { Rule } from './settings.ts'
import { type FindSpans, findsOf } from './spans.ts'
import { type Judge, judgeOf } from './whole.ts'

/** Exactly one of `finds`, `looks` and `judge` is set, or else somebody is asked. */
export interface Compiled {
  readonly rule: Rule
  readonly finds: FindSpans | undefined
  readonly looks: Looks | undefined
  readonly judge: Judge | undefined
  /** Whether what it decides is done, or only said. */
  readonly acts: boolean
}

export async function compiledFor(rules: readonly Rule[], on: 'request' | 'reply'): Promise<Compiled[]> {
  const compiled = await Promise.all(
    rules
      .filter((rule) => rule.on === 'both' || rule.on === on)
      .map(async (rule) => ({
        rule,
        finds: findsOf(rule),
        looks: await looksOf(rule),
        judge: judgeOf(rule, on),
        acts: rule.mode === 'enforce' && rule.timing === 'sync',
      })),
  )
  return compiled.filter(({ rule, finds, looks, judge }) => finds || looks || judge || isRemote(rule))
}

/** A rule has fired: noted and counted, never with the text itself. */
export function fired(host: Host, x: Exchange, { rule, acts }: Compiled, decision: string, reason: string): void {
  host.metrics
    .counter(`stockyard_guardrails_${rule.id.replaceAll('-', '_')}_total`, `How often ${rule.id} fired.`)
    .add()
  const observed = host.mode === 'observe' || !acts
  if (rule.timing === 'async') host.log.info(`the guardrail ${rule.id} fired`, { requestId: x.id, decision, reason })
  // What comes after the end is in the log and the counter only.
  if (x.ended) return
  x.trace.push({
    phase: 'guardrails',
    module: 'guardrails',
    decision,
    reason: `${rule.id}: ${reason}`,
    ...(observed ? { observed: true as const } : {}),
  })
}

/** What a rule without places to redact does. */
export const wholeAction = ({ rule }: Compiled): 'block' | 'flag' => (rule.action === 'flag' ? 'flag' : 'block')

/** What a refusal and a trace may say of a find: where it stands, and its shape with every letter and digit hidden. */
export function evidence(text: string, start: number, end: number): string {
  const shape = text.slice(start, Math.min(end, start + 40)).replace(/[\p{L}\p{N}]/gu, '*')
  return `characters ${start} to ${end} (${shape})`
}
