/**
 * What must hold of every stream that a client gets, dialect by dialect: a small state machine each, that names every
 * broken rule. A stream ends properly or with the dialect's own error, never with both and never with neither (A57).
 */
import assert from 'node:assert/strict'
import { anthropicProblems } from './anthropic.ts'
import { chatProblems } from './chat.ts'
import { geminiProblems } from './gemini.ts'
import { responsesProblems } from './responses.ts'

/** One server-sent event; its payload parsed, unless it is no JSON. */
export interface Told {
  readonly event: string | undefined
  readonly data: string
  // biome-ignore lint/suspicious/noExplicitAny: payloads of many shapes
  readonly json: any
}

export function toldIn(text: string): Told[] {
  return text.split(/\r?\n\r?\n/).flatMap((block): Told[] => {
    const lines = block.split(/\r?\n/)
    const data = lines.flatMap((line) => (line.startsWith('data:') ? [line.slice(5).replace(/^ /, '')] : [])).join('\n')
    if (data === '') return []
    const event = lines
      .find((line) => line.startsWith('event:'))
      ?.slice(6)
      .trim()
    let json: unknown
    try {
      json = JSON.parse(data)
    } catch {
      json = undefined
    }
    return [{ event, data, json }]
  })
}

const RULES: Readonly<Record<string, (told: readonly Told[]) => string[]>> = {
  'anthropic-messages': anthropicProblems,
  'openai-responses': responsesProblems,
  'openai-chat': chatProblems,
  'gemini-generate': geminiProblems,
}

/** The broken rules of a stream in this dialect. */
export function problemsIn(dialect: string, text: string): string[] {
  const rules = RULES[dialect]
  assert.ok(rules, `no rules for streams of ${dialect}`)
  return rules(toldIn(text))
}

export function assertStream(dialect: string, text: string): void {
  const problems = problemsIn(dialect, text)
  assert.deepEqual(problems, [], `${dialect}: ${problems.join('; ')}\n${text.slice(0, 2_000)}`)
}
