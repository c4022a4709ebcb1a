/**
 * Tool names and call ids within a vendor's alphabet and length. What does not fit is replaced by a readable stem and a
 * hash of the whole: the same name gives the same replacement in every request, so prompts stay cacheable, and it is
 * told back by the request it stood in (A63).
 */
import { createHash } from 'node:crypto'
import type { ModelRequest } from './request.ts'

const STEM = 40
const HASH = 12

/** Letters, digits, `_` and `-`, at most so many: what all vendors take. */
export function fittedName(name: string, longest = 64): string {
  if (name.length > 0 && name.length <= longest && /^[A-Za-z0-9_-]+$/.test(name)) return name
  const stem = name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, Math.min(STEM, longest - HASH - 1))
  return `${stem}_${createHash('sha256').update(name).digest('hex').slice(0, HASH)}`
}

/** Replaced name → the client's own; holds only names that had to be replaced. */
export function originalNames(
  asked: ModelRequest | undefined,
  fitted: (name: string) => string = fittedName,
): ReadonlyMap<string, string> {
  const tools = asked?.operation === 'chat' ? (asked.tools ?? []) : []
  return new Map(tools.map(({ name }) => [fitted(name), name] as const).filter(([onWire, name]) => onWire !== name))
}
