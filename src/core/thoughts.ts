/**
 * What a model thought before it called a tool, kept for the next turn: some vendors refuse a call that comes back
 * without the seal it was made with, and many clients throw away what their own format has no field for (A53, A54). Kept
 * in memory, for its owner alone, and given back to the dialect that it came from.
 */
import type { ReplyEvent } from './reply.ts'
import type { ChatRequest, Message, Part, ReasoningPart } from './request.ts'

export interface Thoughts {
  /** Listens to one reply. */
  listener(scope: string, dialect: string): (event: ReplyEvent) => void
  /** The request with what its client lost. */
  restored(request: ChatRequest, scope: string, dialect: string): ChatRequest
}

interface Kept {
  readonly signature?: string
  readonly before: readonly ReasoningPart[]
  readonly bytes: number
}

const MOST_CALLS = 20_000
const MOST_BYTES = 64 * 1024 * 1024
/** Longer thoughts are not kept: their turn goes on without them. */
const LONGEST = 1024 * 1024

export function createThoughts(): Thoughts {
  /** In the order of use; the first is the next to go. */
  const kept = new Map<string, Kept>()
  let bytes = 0
  const key = (scope: string, dialect: string, call: string): string => `${scope}\0${dialect}\0${call}`

  function put(at: string, value: Kept): void {
    bytes += value.bytes - (kept.get(at)?.bytes ?? 0)
    kept.delete(at)
    kept.set(at, value)
    for (const [oldest, { bytes: size }] of kept) {
      if (kept.size <= MOST_CALLS && bytes <= MOST_BYTES) break
      kept.delete(oldest)
      bytes -= size
    }
  }

  return {
    listener(scope, dialect) {
      let before: ReasoningPart[] = []
      const open = new Map<number, { text: string; readonly redacted: string | undefined }>()
      return (event) => {
        switch (event.type) {
          case 'reasoning-start':
            open.set(event.part, { text: '', redacted: event.redacted })
            break
          case 'reasoning-delta': {
            const thought = open.get(event.part)
            if (thought) thought.text += event.text
            break
          }
          case 'reasoning-end': {
            const thought = open.get(event.part)
            open.delete(event.part)
            const { signature } = event
            if (!thought || (signature === undefined && thought.redacted === undefined)) break
            const { text, redacted } = thought
            const seal = redacted === undefined ? { signature: signature as string } : { redacted }
            before.push({ type: 'reasoning', text, ...seal })
            break
          }
          case 'tool-call-start': {
            if (before.length === 0 && event.signature === undefined) break
            const size = before.reduce(
              (sum, { text, signature = '', redacted = '' }) => sum + text.length + signature.length + redacted.length,
              event.signature?.length ?? 0,
            )
            if (size <= LONGEST) {
              const signed = event.signature === undefined ? {} : { signature: event.signature }
              put(key(scope, dialect, event.id), { ...signed, before, bytes: size + event.id.length })
            }
            before = []
          }
        }
      }
    },

    restored(request, scope, dialect) {
      if (kept.size === 0) return request
      let isChanged = false
      const messages = request.messages.map((message): Message => {
        if (message.role !== 'assistant' || !message.parts.some(({ type }) => type === 'tool-call')) return message
        const isSealed = message.parts.some(
          (part) => part.type === 'reasoning' && (part.signature !== undefined || part.redacted !== undefined),
        )
        const lost: ReasoningPart[] = []
        const parts = message.parts.map((part): Part => {
          const known = part.type === 'tool-call' ? kept.get(key(scope, dialect, part.id)) : undefined
          if (part.type !== 'tool-call' || !known) return part
          if (!isSealed) lost.push(...known.before)
          return part.signature === undefined && known.signature !== undefined
            ? { ...part, signature: known.signature }
            : part
        })
        if (lost.length === 0 && parts.every((part, i) => part === message.parts[i])) return message
        isChanged = true
        // Thoughts without their seal are those that are put back with it.
        const others = lost.length > 0 ? parts.filter(({ type }) => type !== 'reasoning') : parts
        return { ...message, parts: [...lost, ...others] }
      })
      return isChanged ? { ...request, messages } : request
    },
  }
}
