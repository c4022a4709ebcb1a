/**
 * Tools and the choice among them, both ways, including `functions` and `function_call` of the days before tools (which
 * go out as tools; the reply writer answers such a client in its own words). Whatever is no function stays whole.
 */
import type { ChatRequest, JsonObject, JsonValue, Tool, ToolChoice } from '../../core/request.ts'
import { fittedName } from '../../core/tool-names.ts'
import { mustBe, objectsIn, optional, placeOf, required } from './fields.ts'
import { cacheOf } from './read-messages.ts'
import { asRest, ID, isEmpty, isObject, objectOf, ownRest, said, without } from './vocabulary.ts'

type Report = (what: string) => void

/** The body's fields read here. */
export const TOOL_FIELDS = ['tools', 'tool_choice', 'parallel_tool_calls', 'functions', 'function_call'] as const

export type ToolsAsked = Pick<ChatRequest, 'tools' | 'hostedTools' | 'toolChoice' | 'parallelToolCalls'> & {
  /** A choice that the common words say only in part. */
  readonly kept?: JsonValue
}

export function readTools(body: JsonObject): ToolsAsked {
  const tools: Tool[] = []
  const hosted: { dialect: string; value: JsonObject }[] = []
  for (const { value, at } of objectsIn(optional(body, 'tools', 'array') ?? [], 'tools')) {
    const type = optional(value, 'type', 'string', at) ?? 'function'
    if (type === 'function') tools.push(functionTool(value, at))
    else hosted.push({ dialect: ID, value })
  }
  const functions = optional(body, 'functions', 'array')
  for (const { value, at } of objectsIn(functions ?? [], 'functions')) tools.push(declaration(value, at, {}))
  const isLegacy = functions !== undefined && tools.length === functions.length
  const { choice, kept } = choiceOf(body)
  const parallel = isLegacy ? false : optional(body, 'parallel_tool_calls', 'boolean')
  return {
    ...(tools.length > 0 ? { tools } : {}),
    ...(hosted.length > 0 ? { hostedTools: hosted } : {}),
    ...(choice ? { toolChoice: choice } : {}),
    ...(parallel === undefined ? {} : { parallelToolCalls: parallel }),
    ...(kept === undefined ? {} : { kept }),
  }
}

function functionTool(tool: JsonObject, at: string): Tool {
  const fn = required(tool, 'function', 'object', at)
  const read = declaration(fn, placeOf(at, 'function'), without(tool, 'type', 'function'))
  const cache = cacheOf(tool) ?? cacheOf(fn)
  return cache ? { ...read, cache } : read
}

function declaration(fn: JsonObject, at: string, beside: JsonObject): Tool {
  const description = optional(fn, 'description', 'string', at)
  const parameters = optional(fn, 'parameters', 'object', at)
  const strict = optional(fn, 'strict', 'boolean', at)
  const more = said(without(fn, 'name', 'description', 'parameters', 'strict'))
  return {
    name: required(fn, 'name', 'string', at),
    ...(description === undefined ? {} : { description }),
    ...(parameters ? { parameters } : {}),
    ...(strict === undefined ? {} : { strict }),
    ...asRest({ ...said(beside), ...(isEmpty(more) ? {} : { function: more }) }),
  }
}

const MODES: Readonly<Record<string, ToolChoice>> = {
  none: { type: 'none' },
  auto: { type: 'auto' },
  required: { type: 'required' },
  // As some of the imitators say it.
  any: { type: 'required' },
}

function choiceOf(body: JsonObject): { choice?: ToolChoice; kept?: JsonValue } {
  const name = body.tool_choice === undefined || body.tool_choice === null ? 'function_call' : 'tool_choice'
  const value = body[name]
  if (value === undefined || value === null) return {}
  if (typeof value === 'string') {
    const choice = Object.hasOwn(MODES, value) ? MODES[value] : undefined
    if (!choice) throw mustBe('one of none, auto, required, or an object that names a tool', name)
    return { choice }
  }
  if (!isObject(value)) throw mustBe('a string or an object', name)
  if (name === 'function_call') return { choice: { type: 'tool', name: required(value, 'name', 'string', name) } }
  if (value.type === 'function' || isObject(value.function)) {
    const fn = required(value, 'function', 'object', name)
    return { choice: { type: 'tool', name: required(fn, 'name', 'string', placeOf(name, 'function')) } }
  }
  const mode = objectOf(value.allowed_tools).mode
  if (value.type === 'allowed_tools')
    return { choice: { type: mode === 'required' ? 'required' : 'auto' }, kept: value }
  return { kept: value }
}

/** `kept` is the choice as the client spelled it, where the common words fall short. */
export function writeTools(request: ChatRequest, kept: JsonValue | undefined, report: Report): JsonObject {
  const { toolChoice: choice, parallelToolCalls } = request
  const tools: JsonObject[] = (request.tools ?? []).map((tool) => writtenTool(tool, report))
  for (const { dialect, value } of request.hostedTools ?? []) {
    if (dialect === ID) tools.push(value)
    else report(typeof value.type === 'string' ? `tools.${value.type}` : 'tools')
  }
  const chosen =
    choice && (choice.type === 'tool' ? { type: 'function', function: { name: fittedName(choice.name) } } : choice.type)
  const written = kept ?? chosen
  if (tools.length === 0) {
    // Without tools the API refuses the fields about them; only a demanded call is a loss.
    if (choice?.type === 'required' || choice?.type === 'tool') report('tool_choice')
    return {}
  }
  return {
    tools,
    ...(written === undefined ? {} : { tool_choice: written }),
    ...(parallelToolCalls === undefined ? {} : { parallel_tool_calls: parallelToolCalls }),
  }
}

function writtenTool(tool: Tool, report: Report): JsonObject {
  const { function: more, ...beside } = ownRest(tool.rest)
  if (tool.cache && beside.cache_control === undefined && objectOf(more).cache_control === undefined) report('cache')
  return {
    type: 'function',
    function: {
      name: fittedName(tool.name),
      ...(tool.description === undefined ? {} : { description: tool.description }),
      ...(tool.parameters ? { parameters: tool.parameters } : {}),
      ...(tool.strict === undefined ? {} : { strict: tool.strict }),
      ...objectOf(more),
    },
    ...beside,
  }
}
