/**
 * Lists of names in which `*` stands for anything: allowed models, upstreams, endpoints. No other character has a meaning,
 * so there is no pattern that takes long.
 */
export function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*')
  if (parts.length === 1) return pattern === name
  const first = parts[0] as string
  const last = parts.at(-1) as string
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false
  const end = name.length - last.length
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

export const anyMatches = (patterns: readonly string[], name: string): boolean =>
  patterns.some((pattern) => matches(pattern, name))

/**
 * Whether all that `inner` lets through, `outer` lets through too. A pattern is within another if the other matches it as it
 * is written: a star of it can then only have been taken by a star. Absent means everything.
 */
export function isWithin(inner: readonly string[] | undefined, outer: readonly string[] | undefined): boolean {
  if (outer === undefined) return true
  return inner?.every((pattern) => anyMatches(outer, pattern)) ?? false
}

const REMEMBERED = 1_000

/** A name must pass every list that is there; undefined if there is none. Answers are remembered, within bounds. */
export function passesAll(lists: readonly (readonly string[] | undefined)[]): ((name: string) => boolean) | undefined {
  const given = lists.filter((list) => list !== undefined)
  if (given.length === 0) return undefined
  const known = new Map<string, boolean>()
  return (name) => {
    let answer = known.get(name)
    if (answer === undefined) {
      answer = given.every((list) => anyMatches(list, name))
      // Names come from clients: neither their number nor their length may fill the memory.
      if (known.size >= REMEMBERED) known.clear()
      if (name.length <= 256) known.set(name, answer)
    }
    return answer
  }
}
