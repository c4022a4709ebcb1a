// What a signer is lent, with scripted answers instead of the outside.

import type { OutgoingCall } from '../../src/core/egress.ts'
import type { SignerParts } from '../../src/core/signing.ts'

export interface Scripted {
  readonly options?: SignerParts['options']
  readonly baseUrl?: string
  readonly variables?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
  /** In the order of the calls: a text, an object as JSON, or one with a status of its own. */
  readonly answers?: readonly unknown[]
  now?(): number
}

export function signerParts(scripted: Scripted): { given: SignerParts; calls: OutgoingCall[] } {
  const calls: OutgoingCall[] = []
  const answers = [...(scripted.answers ?? [])]
  const given: SignerParts = {
    upstream: 'up',
    baseUrl: scripted.baseUrl ?? 'https://example.test',
    options: scripted.options ?? {},
    variable: (name) => scripted.variables?.[name],
    async file(path) {
      const text = scripted.files?.[path]
      if (text === undefined) throw new Error(`no file ${path}`)
      return text
    },
    now: scripted.now ?? Date.now,
    egress: {
      async send(call) {
        calls.push(call)
        if (answers.length === 0) throw new Error(`nobody expected a call to ${call.url}`)
        const answer = answers.shift() as { status?: number; body?: unknown } | string
        const own = typeof answer === 'object' && typeof answer.status === 'number'
        const body = own ? answer.body : answer
        const text = typeof body === 'string' ? body : JSON.stringify(body)
        return {
          status: own ? (answer.status as number) : 200,
          headers: { 'content-type': 'application/json' },
          chunks: (async function* () {})(),
          collect: async () => Buffer.from(text),
          discard() {},
          abort() {},
        }
      },
      async close() {},
    },
  }
  return { given, calls }
}
