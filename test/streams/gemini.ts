/** A stream of generateContent: responses of one id, each candidate finished once and at its end, usage at the last. */
import type { Told } from './index.ts'

export function geminiProblems(told: readonly Told[]): string[] {
  const problems: string[] = []
  const finished = new Set<number>()
  const seen = new Set<number>()
  let ids: string | undefined
  let hasFailed = false
  let isBlocked = false
  for (const { json } of told) {
    if (!json) {
      problems.push('an event that is no JSON')
      continue
    }
    if (hasFailed) problems.push('an event after the error')
    if (json.error) {
      if (!json.error.code || !json.error.message || !json.error.status)
        problems.push('an error without code, message or status')
      hasFailed = true
      continue
    }
    ids ??= json.responseId
    if (json.responseId !== ids) problems.push('the id changed')
    if (!json.modelVersion) problems.push('no modelVersion')
    isBlocked ||= json.promptFeedback?.blockReason !== undefined
    for (const { index = 0, content, finishReason } of json.candidates ?? []) {
      seen.add(index)
      if (finished.has(index)) problems.push(`candidate ${index} goes on after its finish`)
      if (content?.role !== 'model') problems.push(`role ${content?.role}`)
      for (const part of content?.parts ?? []) {
        const kinds = [
          'text',
          'functionCall',
          'inlineData',
          'fileData',
          'executableCode',
          'codeExecutionResult',
          'toolCall',
          'toolResponse',
        ]
        if (!kinds.some((kind) => part[kind] !== undefined))
          problems.push(`a part without content: ${JSON.stringify(part)}`)
        const { functionCall } = part
        if (functionCall && (!functionCall.name || typeof functionCall.args !== 'object'))
          problems.push('a call without name or args')
      }
      if (finishReason !== undefined) finished.add(index)
    }
  }
  if (hasFailed) return problems
  for (const index of seen) if (!finished.has(index)) problems.push(`candidate ${index} has no finish reason`)
  if (seen.size === 0 && !isBlocked) problems.push('no candidate')
  return problems
}
