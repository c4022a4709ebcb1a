/**
 * Which targets can serve a request at all, judged before anything is called: context window, modalities, parameters,
 * price. A filter that would leave nothing behind because of an estimate leaves the best there is.
 */
import type { Capabilities, Modality } from '../catalog.ts'
import type { Exchange, Target } from '../exchange.ts'
import type { JsonValue, Part } from '../request.ts'
import { isWithin, type Price, type PriceCap } from '../usage.ts'

/** Says why not, or nothing. */
export type Filter = (target: Target) => string | undefined

const UNKNOWN: Capabilities = {}
const abilities = (target: Target): Capabilities => target.capabilities ?? UNKNOWN

/** Media travel in the body as text that is no text: an image of a megabyte is no million tokens. */
const DATA_FROM = 2_000
const MEDIA_TOKENS = 1_500

function textTokens(value: JsonValue | undefined): number {
  if (typeof value === 'string') {
    return value.length > DATA_FROM && (value.startsWith('data:') || /^[A-Za-z0-9+/_-]{500}/.test(value))
      ? MEDIA_TOKENS
      : value.length / 4
  }
  if (Array.isArray(value)) return value.reduce((sum: number, one) => sum + textTokens(one), 0)
  if (typeof value !== 'object' || value === null) return 1
  let sum = 0
  for (const one of Object.values(value)) sum += 1 + textTokens(one)
  return sum
}

/** Only looks closely when the size of the body says that it could be too much. */
export function contextFilter(x: Exchange): Filter {
  let exact: number | undefined
  return (target) => {
    const most = abilities(target).contextTokens
    if (most === undefined || x.inputEstimate <= most) return undefined
    exact ??= Math.ceil(textTokens(x.json))
    return exact > most ? `about ${exact} tokens do not fit into ${most}` : undefined
  }
}

/** The target with the largest window, for when all seem too small: estimates are only estimates. */
export const roomiest = (targets: readonly Target[]): Target | undefined =>
  [...targets].sort((a, b) => (abilities(b).contextTokens ?? 0) - (abilities(a).contextTokens ?? 0))[0]

/** Whether a prompt that was too long for one may fit the other. */
export function isRoomier(target: Target, than: Target | undefined): boolean {
  const most = abilities(target).contextTokens
  const less = than && abilities(than).contextTokens
  return most !== undefined && less !== undefined && most > less
}

const MODALITY: Readonly<Partial<Record<Part['type'], Modality>>> = { image: 'image', audio: 'audio', file: 'document' }

function modalitiesOf(x: Exchange): ReadonlySet<Modality> {
  const found = new Set<Modality>()
  const request = x.transformed ?? x.request()
  if (request.operation !== 'chat') return found
  for (const { parts } of request.messages) {
    for (const part of parts) {
      const inner = part.type === 'tool-result' ? part.content : [part]
      for (const { type } of inner) {
        const modality = MODALITY[type]
        if (modality) found.add(modality)
      }
    }
  }
  return found
}

export function modalityFilter(x: Exchange): Filter {
  let needed: ReadonlySet<Modality> | undefined
  return (target) => {
    const takes = abilities(target).input
    if (takes === undefined) return undefined
    needed ??= modalitiesOf(x)
    for (const modality of needed) if (!takes.includes(modality)) return `takes no ${modality}`
    return undefined
  }
}

export function parameterFilter(x: Exchange): Filter {
  return (target) => {
    const field = abilities(target).refuses?.find((name) => x.json[name] !== undefined && x.json[name] !== null)
    return field === undefined ? undefined : `does not take "${field}"`
  }
}

export function priceFilter(caps: readonly PriceCap[], priceOf: (target: Target) => Price | undefined): Filter {
  return (target) => {
    const all = target.maxPrice ? [...caps, target.maxPrice] : caps
    if (all.length === 0) return undefined
    const price = priceOf(target)
    if (all.every((cap) => isWithin(price, cap))) return undefined
    return price ? 'costs more than is allowed' : 'has no known price, and there is a cap'
  }
}

export function tagFilter(all: readonly string[], any: readonly (readonly string[])[]): Filter {
  return ({ tags = [] }) => {
    const missing = all.find((tag) => !tags.includes(tag))
    if (missing !== undefined) return `is not tagged "${missing}"`
    const group = any.find((wanted) => !wanted.some((tag) => tags.includes(tag)))
    return group === undefined ? undefined : `is not tagged ${group.map((tag) => `"${tag}"`).join(' or ')}`
  }
}
