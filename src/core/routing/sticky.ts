/**
 * Which conversation a request belongs to, so that it goes where the provider still has the beginning in its prompt cache
 * (A113). By what the client says about it, or by how the prompt begins.
 */
import { hash } from 'node:crypto'
import type { Exchange } from '../exchange.ts'
import type { JsonObject, JsonValue } from '../request.ts'
import type { StickyBy } from '../store.ts'

export interface Sticky {
  readonly by: readonly StickyBy[]
  readonly ttlMs: number
}

const SESSION_HEADERS = [
  'x-session-id',
  'x-session-affinity',
  'session_id',
  'session-id',
  'x-claude-code-session-id',
  'x-bf-session-id',
  'helicone-session-id',
] as const

const text = (value: JsonValue | undefined): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

function sessionOf(x: Exchange): string | undefined {
  for (const name of SESSION_HEADERS) if (x.headers[name]) return x.headers[name]
  const metadata = x.json.metadata as JsonObject | null | undefined
  return text(x.json.session_id) ?? (typeof metadata === 'object' ? text(metadata?.session_id) : undefined)
}

/** System prompt, tools and the first turn of the user: what stays the same while a conversation grows. */
function prefixOf(x: Exchange): string | undefined {
  const { messages, input, contents, system, instructions, tools } = x.json
  const turns = messages ?? input ?? contents
  if (typeof turns === 'string') return undefined
  if (!Array.isArray(turns)) return undefined
  const end = turns.findIndex((turn) => (turn as JsonObject | null)?.role === 'user')
  const head = turns.slice(0, end < 0 ? 1 : end + 1)
  const { systemInstruction, system_instruction } = x.json
  const prefix = [system, instructions, systemInstruction ?? system_instruction, tools, head]
  return hash('sha1', JSON.stringify(prefix, unmarked), 'base64url')
}

/** Cache markers wander to the end as a conversation grows, and make parts of what was a text before. */
const unmarked = (name: string, value: JsonValue): JsonValue | undefined =>
  name === 'cache_control'
    ? undefined
    : name === 'content' && typeof value === 'string'
      ? [{ type: 'text', text: value }]
      : value

const READERS: Readonly<Record<StickyBy, (x: Exchange) => string | undefined>> = {
  session: sessionOf,
  'prompt-cache-key': (x) => text(x.json.prompt_cache_key),
  prefix: prefixOf,
  principal: (x) => (x.principal?.kind === 'key' ? x.principal.id : undefined),
}

/** The first that is known, never mixed between owners. Undefined: balanced as any other request. */
export function affinityOf(x: Exchange, { by }: Sticky): string | undefined {
  for (const kind of by) {
    const value = READERS[kind](x)
    if (value !== undefined)
      return hash('sha1', `${kind}\n${x.principal?.scope ?? ''}\n${x.model}\n${value}`, 'base64url')
  }
  return undefined
}

/** A number in [0, 1) that is always the same for the same text. */
export const shareOf = (text: string): number => Number.parseInt(hash('sha1', text, 'hex').slice(0, 12), 16) / 2 ** 48

/** For splits: the same side for the same person, as far as it is known who that is. */
export function personOf(x: Exchange): string | undefined {
  if (x.principal?.kind === 'key') return x.principal.user ?? x.principal.id
  const metadata = x.json.metadata as JsonObject | null | undefined
  return (
    text(x.json.user) ??
    text(x.json.safety_identifier) ??
    (typeof metadata === 'object' ? text(metadata?.user_id) : undefined) ??
    sessionOf(x)
  )
}
