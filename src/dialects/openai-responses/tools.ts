/**
 * Tools and the choice among them, both ways. A free-form tool (Codex has some) is elsewhere a function with one text
 * argument, and a tool in a namespace a function with a longer name; both come back as they were declared. Tools that
 * OpenAI runs itself stay whole.
 */
import type { ChatRequest, JsonObject, JsonValue, Tool, ToolChoice } from '../../core/request.ts'
import { fittedName } from '../../core/tool-names.ts'
import { isObject, mustBe, objectOf, objectsIn, optional, required, without, wordOf } from '../openai-chat/index.ts'
import { asRest, CUSTOM_ARGUMENT, ID, ownRest, spaced } from './vocabulary.ts'

type Report = (what: string) => void

export const TOOL_FIELDS = ['tools', 'tool_choice', 'parallel_tool_calls'] as const

export type ToolsAsked = Pick<ChatRequest, 'tools' | 'hostedTools' | 'toolChoice' | 'parallelToolCalls'> & {
  /** A choice that the common words say only in part. */
  readonly kept?: JsonValue
}

export function readTools(body: JsonObject): ToolsAsked {
  const tools: Tool[] = []
  const hosted: { dialect: string; value: JsonObject }[] = []
  for (const { value, at } of objectsIn(optional(body, 'tools', 'array') ?? [], 'tools')) {
    const type = required(value, 'type', 'string', at)
    if (type === 'function') tools.push(functionTool(value, at))
    else if (type === 'custom') tools.push(customTool(value, at))
    else if (type === 'namespace') tools.push(...spacedTools(value, at))
    else hosted.push({ dialect: ID, value })
  }
  const { choice, kept } = choiceOf(body.tool_choice)
  const parallel = optional(body, 'parallel_tool_calls', 'boolean')
  return {
    ...(tools.length > 0 ? { tools } : {}),
    ...(hosted.length > 0 ? { hostedTools: hosted } : {}),
    ...(choice ? { toolChoice: choice } : {}),
    ...(parallel === undefined ? {} : { parallelToolCalls: parallel }),
    ...(kept === undefined ? {} : { kept }),
  }
}

function functionTool(tool: JsonObject, at: string): Tool {
  const description = optional(tool, 'description', 'string', at)
  const parameters = optional(tool, 'parameters', 'object', at)
  const strict = optional(tool, 'strict', 'boolean', at)
  return {
    name: required(tool, 'name', 'string', at),
    ...(description === undefined ? {} : { description }),
    ...(parameters ? { parameters } : {}),
    ...(strict === undefined ? {} : { strict }),
    ...asRest(without(tool, 'type', 'name', 'description', 'parameters', 'strict')),
  }
}

/** The grammar of a free-form tool is said in words where no API holds the model to it. */
function customTool(tool: JsonObject, at: string): Tool {
  const format = objectOf(tool.format)
  const grammar =
    format.type === 'grammar'
      ? `\n\nThe input must follow this ${wordOf(format.syntax) ?? ''} grammar:\n${wordOf(format.definition) ?? ''}`
      : ''
  return {
    name: required(tool, 'name', 'string', at),
    description: `${optional(tool, 'description', 'string', at) ?? ''}${grammar}`,
    parameters: {
      type: 'object',
      properties: { [CUSTOM_ARGUMENT]: { type: 'string' } },
      required: [CUSTOM_ARGUMENT],
      additionalProperties: false,
    },
    rest: { [ID]: { custom: tool } },
  }
}

function spacedTools(namespace: JsonObject, at: string): Tool[] {
  const space = required(namespace, 'name', 'string', at)
  const about = without(namespace, 'tools')
  return objectsIn(optional(namespace, 'tools', 'array', at) ?? [], `${at}.tools`).map(({ value, at: place }) => {
    const tool = value.type === 'custom' ? customTool(value, place) : functionTool(value, place)
    const own = { ...ownRest(tool.rest), namespace: about, name: tool.name }
    return { ...tool, name: spaced(space, tool.name), rest: { [ID]: own } }
  })
}

function choiceOf(value: JsonValue | undefined): { choice?: ToolChoice; kept?: JsonValue } {
  if (value === undefined || value === null) return {}
  if (value === 'none' || value === 'auto' || value === 'required') return { choice: { type: value } }
  if (!isObject(value)) throw mustBe('one of none, auto, required, or an object that names a tool', 'tool_choice')
  if (value.type === 'function' || value.type === 'custom') {
    const name = required(value, 'name', 'string', 'tool_choice')
    return { choice: { type: 'tool', name }, ...(value.type === 'custom' ? { kept: value } : {}) }
  }
  if (value.type === 'allowed_tools') {
    return { choice: { type: value.mode === 'required' ? 'required' : 'auto' }, kept: value }
  }
  return { kept: value }
}

/** `kept` is the choice as the client spelled it, where the common words fall short. */
export function writeTools(request: ChatRequest, kept: JsonValue | undefined, report: Report): JsonObject {
  const { toolChoice: choice, parallelToolCalls } = request
  const tools: JsonObject[] = []
  const spaces = new Map<string, JsonObject[]>()
  for (const tool of request.tools ?? []) {
    const written = writtenTool(tool, report)
    const { namespace } = ownRest(tool.rest)
    const space = isObject(namespace) ? wordOf(namespace.name) : undefined
    if (space === undefined) tools.push(written)
    else if (spaces.has(space)) spaces.get(space)?.push(written)
    else {
      const inside = [written]
      spaces.set(space, inside)
      tools.push({ ...objectOf(namespace), tools: inside })
    }
  }
  for (const { dialect, value } of request.hostedTools ?? []) {
    if (dialect === ID) tools.push(value)
    else report(`tools.${wordOf(value.type) ?? 'hosted'}`)
  }
  const chosen = choice && (choice.type === 'tool' ? { type: 'function', name: fittedName(choice.name) } : choice.type)
  const written = kept ?? chosen
  if (tools.length === 0) {
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
  const { custom, namespace: _, name: own, ...more } = ownRest(tool.rest)
  if (tool.cache) report('cache')
  if (isObject(custom)) return custom
  return {
    type: 'function',
    name: wordOf(own) ?? fittedName(tool.name),
    ...(tool.description === undefined ? {} : { description: tool.description }),
    parameters: tool.parameters ?? { type: 'object', properties: {} },
    // Absent, the API takes it for true and refuses schemas that were not written for it.
    strict: tool.strict ?? false,
    ...more,
  }
}

/** The tools that the client declared as free-form, and those in namespaces: how calls of them are told. */
export interface Declared {
  readonly isCustom: boolean
  readonly namespace?: string
  readonly name: string
}
export function declaredTools(asked: JsonObject): ReadonlyMap<string, Declared> {
  const found = new Map<string, Declared>()
  const note = (tool: JsonValue, namespace: string | undefined): void => {
    const { type, name } = objectOf(tool)
    if (typeof name !== 'string') return
    const isCustom = type === 'custom'
    if (namespace !== undefined) found.set(spaced(namespace, name), { isCustom, namespace, name })
    else if (isCustom) found.set(name, { isCustom, name })
  }
  for (const tool of Array.isArray(asked.tools) ? asked.tools : []) {
    const { type, name, tools } = objectOf(tool)
    if (type !== 'namespace') note(tool, undefined)
    else for (const inner of Array.isArray(tools) ? tools : []) note(inner, wordOf(name))
  }
  return found
}
