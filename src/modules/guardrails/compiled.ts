/** The rules of one direction, made ready once for each settings change. */
import type { Exchange } from '../../core/exchange.ts'
import type { Host } from '../../core/module.ts'
import type { Rule } from './settings.ts'
import { type FindSpans, findsOf } from './spans.ts'
import { type Judge, judgeOf } from './whole.ts'

export interface Compiled {
  readonly rule: Rule
  readonly finds: FindSpans | undefined
  readonly judge: Judge | undefined
}

export const compiledFor = (rules: readonly Rule[], on: 'request' | 'reply'): Compiled[] =>
  rules
    .filter((rule) => rule.on === 'both' || rule.on === on)
    .map((rule) => ({ rule, finds: findsOf(rule), judge: judgeOf(rule, on) }))
    .filter(({ rule, finds, judge }) => finds || judge || rule.type === 'webhook')

/** A rule has fired: noted and counted, never with the text itself. */
export function fired(host: Host, x: Exchange, rule: Rule, decision: string, reason: string): void {
  host.metrics
    .counter(`stockyard_guardrails_${rule.id.replaceAll('-', '_')}_total`, `How often ${rule.id} fired.`)
    .add()
  x.trace.push({
    phase: 'guardrails',
    module: 'guardrails',
    decision,
    reason: `${rule.id}: ${reason}`,
    ...(host.mode === 'observe' ? { observed: true as const } : {}),
  })
}

/** What a refusal and a trace may say of a find: where it stands, and its shape with every letter and digit hidden. */
export function evidence(text: string, start: number, end: number): string {
  const shape = text.slice(start, Math.min(end, start + 40)).replace(/[\p{L}\p{N}]/gu, '*')
  return `characters ${start} to ${end} (${shape})`
}
