/** Apart from the queries, whose builder the serving thread has no use for. */

/** What usage may be grouped by; `day` and `hour` are UTC. By `tag`, a row counts for each tag that it has. */
export const USAGE_KEYS = [
  'model',
  'upstream',
  'provider',
  'upstreamModel',
  'principal',
  'key',
  'organization',
  'team',
  'user',
  'endUser',
  'tag',
  'day',
  'hour',
] as const
export type UsageKey = (typeof USAGE_KEYS)[number]
