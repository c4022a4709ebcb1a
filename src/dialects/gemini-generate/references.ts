/**
 * What a request names that Google keeps: uploaded files, which have an address of its API, and cached content. Any other
 * address (a public one, a bucket) is none of ours.
 */
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { camelKeys, isObject, listOf, objectOf, stringOf } from './vocabulary.ts'

const FILE = /^(?:https?:\/\/generativelanguage\.googleapis\.com(?::\d+)?\/)?(?:v\d\w*\/)?(files\/[\w-]+)(?:[?#].*)?$/i

export function namesIn(body: JsonObject): readonly string[] {
  const names = new Set<string>()
  const cached = stringOf(body.cachedContent ?? body.cached_content)
  if (cached !== undefined && cached !== '') names.add(cached)
  const look = (parts: JsonValue | undefined): void => {
    for (const part of listOf(parts)) {
      const { fileData, functionResponse } = camelKeys(objectOf(part))
      if (isObject(functionResponse)) look(functionResponse.parts)
      const file = isObject(fileData) ? FILE.exec(stringOf(camelKeys(fileData).fileUri) ?? '')?.[1] : undefined
      if (file !== undefined) names.add(file)
    }
  }
  const { contents, systemInstruction, system_instruction } = body
  for (const content of listOf(contents)) look(objectOf(content).parts)
  look(objectOf(systemInstruction ?? system_instruction).parts)
  return [...names]
}
