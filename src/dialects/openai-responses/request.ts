/** The body of POST /v1/responses ⇄ a canonical chat request. */
import type { WriteContext } from '../../core/dialect.ts'
import { badRequest } from '../../core/errors.ts'
import type { ChatRequest, JsonObject, ModelRequest } from '../../core/request.ts'
import { mustBe, optional, required, said, without } from '../openai-chat/index.ts'
import { HINTS, PARAMETER_FIELDS, readParameters, writeParameters } from './parameters.ts'
import { readInput } from './read-input.ts'
import { readTools, TOOL_FIELDS, writeTools } from './tools.ts'
import { asRest, ID, ownRest } from './vocabulary.ts'
import { writeInput } from './write-input.ts'

const READ = ['model', 'stream', 'input', 'instructions', ...PARAMETER_FIELDS, ...TOOL_FIELDS]

export function readRequest(body: JsonObject): ChatRequest {
  const { kept: choice, ...tools } = readTools(body)
  const { fields, kept } = readParameters(body)
  if (!Array.isArray(body.input) && typeof body.input !== 'string' && !boundTo(body)) {
    throw mustBe('a string or an array', 'input')
  }
  const others = said(without(body, ...READ, ...HINTS))
  const hints = said(Object.fromEntries(HINTS.map((name) => [name, body[name]])))
  return {
    operation: 'chat',
    model: required(body, 'model', 'string'),
    stream: optional(body, 'stream', 'boolean') ?? false,
    messages: readInput(body.instructions, body.input),
    ...tools,
    ...fields,
    hints: { [ID]: hints },
    ...asRest({ ...others, ...kept, ...(choice === undefined ? {} : { tool_choice: choice }) }),
  }
}

/** What only an upstream of this very API can serve, because it keeps what the field refers to. */
export function boundTo(body: JsonObject): string | undefined {
  if (body.background === true) return 'background'
  return ['previous_response_id', 'conversation', 'prompt'].find(
    (name) => body[name] !== undefined && body[name] !== null,
  )
}

export function writeRequest(request: ModelRequest, context: WriteContext): JsonObject {
  if (request.operation !== 'chat') throw badRequest(`This model's API does chat, not ${request.operation}.`, 'model')
  const seen = new Set<string>()
  const report = (what: string): void => {
    if (seen.has(what)) return
    seen.add(what)
    context.report(what)
  }
  const own = ownRest(request.rest)
  const hints = request.hints?.[ID] ?? {}
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    if (dialect !== ID) for (const name of Object.keys(said(fields))) report(name)
  }
  const { instructions, input } = writeInput(request.messages, report)
  return {
    model: context.model,
    ...(instructions === undefined ? {} : { instructions }),
    input,
    // Clients of other APIs bring the whole conversation each time: nothing is to be kept for them.
    ...(request.hints?.[ID] === undefined ? { store: false } : {}),
    ...said(without(own, 'tool_choice')),
    ...said(without(hints, 'include')),
    ...writeTools(request, own.tool_choice, report),
    ...writeParameters(request, own, hints, report),
  }
}
