/**
 * Decides whether a model's name fits a rule of the price table. Regular expressions come only from the committed
 * table, never from a request or a setting, so their running time is ours to vouch for.
 */
import type { MatchRule } from './price-data.ts'

const compiled = new Map<string, RegExp>()

/** `name` in lower case. */
export function matches(rule: MatchRule, name: string): boolean {
  if ('equals' in rule) return name === rule.equals
  if ('starts_with' in rule) return name.startsWith(rule.starts_with)
  if ('ends_with' in rule) return name.endsWith(rule.ends_with)
  if ('contains' in rule) return name.includes(rule.contains)
  if ('or' in rule) return rule.or.some((part) => matches(part, name))
  if ('and' in rule) return rule.and.every((part) => matches(part, name))
  let pattern = compiled.get(rule.regex)
  if (!pattern) {
    pattern = new RegExp(rule.regex, 'i')
    compiled.set(rule.regex, pattern)
  }
  return pattern.test(name)
}

/** The whole names that a rule spells out. */
export function exactNames(rule: MatchRule): readonly string[] {
  if ('equals' in rule) return [rule.equals]
  return 'or' in rule ? rule.or.flatMap(exactNames) : []
}
