/** Settings, compiled: which finds stand, and what is written in their place. */
import { createHmac } from 'node:crypto'
import { RE2JS } from 're2js'
import type { Place } from '../../core/texts.ts'
import type { Detector } from './detector.ts'
import { type Find, finder, type Span } from './find.ts'
import type { Endings } from './hiding.ts'
import type { Action, Settings } from './settings.ts'

export interface Policy {
  /** Built-in detectors, without what is switched off or allowed. */
  readonly find: Find
  readonly endings: Endings
  actionOf(entity: string): Action | 'off'
  looksAt(place: Place): boolean
  /** Whether the value, found as this entity, is to be left alone. */
  allowed(value: string): boolean
  /** For one owner: what is written for a value. `originals` learns what can be put back. */
  replacement(action: Action, entity: string, value: string, scope: string, originals: Map<string, string>): string
}

export function policyOf(chosen: Settings, detectors: readonly Detector[], secret: string): Policy {
  const actionOf = (entity: string): Action | 'off' =>
    chosen.entities[entity] ?? chosen.patterns.find((p) => p.name === entity)?.action ?? chosen.action
  const used = detectors.filter(
    ({ entity, country }) =>
      actionOf(entity) !== 'off' &&
      (country === undefined || chosen.countries.length === 0 || chosen.countries.includes(country)),
  )
  const words = new Set(chosen.allow.map((word) => word.toLowerCase()))
  const patterns = chosen.allowPatterns.map((pattern) => RE2JS.compile(pattern))
  const allowed = (value: string): boolean =>
    words.has(value.toLowerCase()) || patterns.some((pattern) => pattern.matches(value))
  const all = finder(used)
  const kept = (text: string, spans: Span[], reply: boolean): Span[] => {
    // A reply comes in pieces: whoever hides it knows whether it is in a fence.
    const fences = chosen.codeFences || reply ? [] : fencesOf(text)
    return spans.filter(
      ({ start, end }) => !allowed(text.slice(start, end)) && !fences.some(([from, to]) => start >= from && end <= to),
    )
  }
  const filters = words.size > 0 || patterns.length > 0 || !chosen.codeFences
  const { where } = chosen
  const places: Readonly<Record<Place, boolean>> = {
    system: where.system,
    user: where.user,
    assistant: where.assistant,
    'tool-arguments': where.toolArguments,
    'tool-result': where.toolResults,
    'file-name': where.fileNames,
    'end-user': where.endUser,
    input: where.input,
    tools: where.tools,
    other: where.other,
  }
  return {
    find: filters ? (text, how) => kept(text, all(text, how), how?.reply ?? false) : all,
    endings: new Map(used.flatMap(({ entity, goesOn }) => (goesOn ? [[entity, goesOn] as const] : []))),
    actionOf,
    looksAt: (place) => places[place],
    allowed,
    replacement(action, entity, value, scope, originals) {
      switch (action) {
        case 'pseudonymise':
          return placeholder(secret, entity, value, scope, originals)
        case 'mask':
          return `[${entity}]`
        case 'hash':
          return `[${entity}#${createHmac('sha256', secret).update(`${scope}\n${entity}\n${value}`).digest('hex').slice(0, 16)}]`
        case 'drop':
          return ''
        default:
          return value
      }
    },
  }
}

const ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789'

/**
 * Keyed and without a counter: the same value of the same owner is the same placeholder in every turn, so that a provider's
 * prompt cache stays warm, and nobody can find the value by trying without the key.
 */
function placeholder(
  secret: string,
  entity: string,
  value: string,
  scope: string,
  originals: Map<string, string>,
): string {
  for (let round = 0; ; round++) {
    const bytes = createHmac('sha256', secret).update(`${scope}\n${entity}\n${value}\n${round}`).digest()
    let tag = ''
    for (let i = 0; i < 8; i++) tag += ALPHABET[(bytes[i] as number) & 31]
    const token = `[${entity}_${tag}]`
    const known = originals.get(token)
    if (known !== undefined && known !== value) continue
    originals.set(token, value)
    return token
  }
}

const fencesOf = (text: string): (readonly [number, number])[] =>
  [...text.matchAll(/```[^`]*(?:`{1,2}[^`]+)*(?:```|$)/g)].map((match) => [match.index, match.index + match[0].length])
