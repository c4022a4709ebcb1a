/**
 * The words of OpenAI's Responses API that more than one file here needs, and how another vendor's sealed thinking
 * travels through its clients: in `encrypted_content`, which every client hands back untouched.
 */
import type { JsonObject, JsonValue, Rest } from '../../core/request.ts'
import { isEmpty, isObject, wordOf } from '../openai-chat/index.ts'

export const ID = 'openai-responses'

/** What this dialect itself left in a `rest`. */
export const ownRest = (rest: Rest | undefined): JsonObject => rest?.[ID] ?? {}
export const asRest = (value: JsonObject): { readonly rest?: Rest } => (isEmpty(value) ? {} : { rest: { [ID]: value } })

/** Thinking of a vendor whose seal is no `encrypted_content`: which kind of seal, and its text. */
export interface Seal {
  readonly kind: 'signature' | 'redacted'
  readonly value: string
}
const SEALED = 'stockyard.'

export const sealed = ({ kind, value }: Seal): string => `${SEALED}${kind}.${value}`

/** Undefined where the content is OpenAI's own, or none. */
export function unsealed(content: JsonValue | undefined): Seal | undefined {
  const match = /^stockyard\.(signature|redacted)\.([\s\S]*)$/.exec(wordOf(content) ?? '')
  return match ? { kind: match[1] as Seal['kind'], value: match[2] as string } : undefined
}

/** A free-form tool has one text as its input; elsewhere it is a function with this one argument. */
export const CUSTOM_ARGUMENT = 'input'
export const customArguments = (input: string): string => JSON.stringify({ [CUSTOM_ARGUMENT]: input })

export function customInput(json: string): string {
  try {
    const value: JsonValue = JSON.parse(json)
    if (isObject(value) && typeof value[CUSTOM_ARGUMENT] === 'string') return value[CUSTOM_ARGUMENT]
  } catch {
    // A model that did not keep to the schema: what it wrote is the input.
  }
  return json
}

/** Tools in a namespace are told apart elsewhere by this before their name. */
export const spaced = (namespace: string, name: string): string => `${namespace}__${name}`
