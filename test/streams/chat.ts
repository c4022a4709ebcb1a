/** A stream of chat completions: one identity, each choice opened with its role and finished once, `[DONE]` last. */
import type { Told } from './index.ts'

interface Choice {
  reason: string | undefined
  readonly calls: string[]
}

export function chatProblems(told: readonly Told[]): string[] {
  const problems: string[] = []
  const choices = new Map<number, Choice>()
  let identity: string | undefined
  let state: 'running' | 'done' | 'failed' = 'running'
  for (const { data, json } of told) {
    if (state !== 'running') problems.push(`${data.slice(0, 60)} after the end`)
    if (data === '[DONE]') {
      state = 'done'
      continue
    }
    if (!json) {
      problems.push('an event that is no JSON')
      continue
    }
    if (json.error) {
      if (!json.error.message || !json.error.type) problems.push('an error without message or type')
      state = 'failed'
      continue
    }
    if (json.object !== 'chat.completion.chunk') problems.push(`object ${json.object}`)
    const own = JSON.stringify([json.id, json.created, json.model])
    identity ??= own
    if (own !== identity) problems.push('id, created or model changed')
    for (const { index, delta, finish_reason } of json.choices) {
      let choice = choices.get(index)
      if (!choice) {
        choice = { reason: undefined, calls: [] }
        choices.set(index, choice)
        if (delta?.role !== 'assistant') problems.push(`choice ${index} opens without its role`)
      } else if (delta?.role !== undefined) problems.push(`choice ${index} opens twice`)
      // What was found in a text (filters) may be told behind its end.
      if (choice.reason !== undefined && (finish_reason !== null || Object.keys(delta ?? {}).length > 0))
        problems.push(`choice ${index} goes on after ${choice.reason}`)
      for (const call of delta?.tool_calls ?? []) {
        if (call.index === choice.calls.length) {
          if (!call.id || !call.function?.name) problems.push(`call ${call.index} begins without id or name`)
          choice.calls.push('')
        } else if (!(call.index < choice.calls.length)) problems.push(`call ${call.index} after ${choice.calls.length}`)
        choice.calls[call.index] += call.function?.arguments ?? ''
      }
      if (finish_reason !== null && finish_reason !== undefined) choice.reason = finish_reason
    }
  }
  if (state === 'running') problems.push('no end')
  if (state === 'failed') return problems
  for (const [index, { reason, calls }] of choices) {
    if (reason === undefined) problems.push(`choice ${index} has no finish reason`)
    if (reason === 'tool_calls' && calls.length === 0) problems.push('tool_calls without a call')
    if (reason === 'stop' && calls.length > 0) problems.push('stop after a call')
  }
  return problems
}
