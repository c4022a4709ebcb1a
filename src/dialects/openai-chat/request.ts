/** The body of a chat completion ⇄ a canonical chat request. What neither side has a word for stays in the rest. */
import type { WriteContext } from '../../core/dialect.ts'
import { badRequest } from '../../core/errors.ts'
import type { ChatRequest, JsonObject, ModelRequest } from '../../core/request.ts'
import { spelledOut } from './cache.ts'
import { optional, required } from './fields.ts'
import { PARAMETER_FIELDS, readParameters, writeParameters } from './parameters.ts'
import { readMessages } from './read-messages.ts'
import { readTools, TOOL_FIELDS, writeTools } from './tools.ts'
import { asRest, ID, ownRest, said, without } from './vocabulary.ts'
import { writeMessages } from './write-messages.ts'

const READ = ['model', 'stream', 'messages', ...PARAMETER_FIELDS, ...TOOL_FIELDS]

export function readRequest(body: JsonObject): ChatRequest {
  const { kept: choice, ...tools } = readTools(body)
  const { fields, kept } = readParameters(body)
  return {
    operation: 'chat',
    model: required(body, 'model', 'string'),
    stream: optional(body, 'stream', 'boolean') ?? false,
    messages: readMessages(required(body, 'messages', 'array')),
    ...tools,
    ...fields,
    ...asRest({ ...said(without(body, ...READ)), ...kept, ...(choice === undefined ? {} : { tool_choice: choice }) }),
  }
}

export function writeRequest(asked: ModelRequest, context: WriteContext): JsonObject {
  if (asked.operation !== 'chat') throw badRequest(`This model's API does chat, not ${asked.operation}.`, 'model')
  const request = context.quirks?.cacheControl ? spelledOut(asked) : asked
  const seen = new Set<string>()
  const report = (what: string) => {
    if (seen.has(what)) return
    seen.add(what)
    context.report(what)
  }
  const own = ownRest(request.rest)
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    if (dialect !== ID) for (const name of Object.keys(said(fields))) report(name)
  }
  return {
    model: context.model,
    messages: writeMessages(request.messages, report),
    // Names that only remember a spelling are null here, and go out with their value below.
    ...said(without(own, 'tool_choice')),
    ...writeTools(request, own.tool_choice, report),
    ...writeParameters(request, own, context, report),
  }
}
