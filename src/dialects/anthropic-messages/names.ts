/**
 * Tool names and call ids within this API's alphabet. What does not fit is replaced by a readable stem and a hash of
 * the whole: the same name gives the same replacement in every request, so prompts stay cacheable. Names are mapped
 * back in replies (A63); ids are not, because those of a reply are the vendor's own.
 */
import { createHash } from 'node:crypto'
import type { ModelRequest } from '../../core/request.ts'

const LONGEST_NAME = 128
/** No limit is documented for ids; this one only keeps replacements short. */
const LONGEST_STEM = 40

const FITTING = /^[a-zA-Z0-9_-]+$/

const fitted = (text: string): string => {
  const stem = text.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, LONGEST_STEM)
  return `${stem}_${createHash('sha256').update(text).digest('hex').slice(0, 12)}`
}

/** Vendors of this alphabet with a shorter limit say theirs. */
export const wireName = (name: string, longest = LONGEST_NAME): string =>
  name.length <= longest && FITTING.test(name) ? name : fitted(name)
export const wireId = (id: string, longest = Number.POSITIVE_INFINITY): string =>
  id.length <= longest && FITTING.test(id) ? id : fitted(id)

/** Replaced name → the client's own; holds only names that had to be replaced. */
export function originalNames(asked: ModelRequest | undefined, longest = LONGEST_NAME): ReadonlyMap<string, string> {
  const tools = asked?.operation === 'chat' ? (asked.tools ?? []) : []
  return new Map(
    tools.map(({ name }) => [wireName(name, longest), name] as const).filter(([onWire, name]) => onWire !== name),
  )
}
