/**
 * What a request to the Responses API names that its vendor keeps. Items can be referred to by their ids alone, and reasoning
 * that is not sealed is: the vendor puts in what it kept under that id.
 */

import type { Made } from '../../core/objects.ts'
import type { References } from '../../core/references.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { listOf, objectOf, wordOf } from '../openai-chat/index.ts'

const idsOf = (json: JsonObject, fits: (item: JsonObject) => boolean): readonly string[] =>
  listOf(json.input).flatMap((item) => {
    const object = objectOf(item)
    return fits(object) ? (wordOf(object.id) ?? []) : []
  })

export const references: References = {
  fields: ['previous_response_id', 'conversation', 'file_id', 'vector_store_ids', 'container'],
  outside: ['metadata', 'parameters', 'schema', 'annotations', 'results', 'outputs'],
  perhaps: (json) =>
    idsOf(
      json,
      ({ type, encrypted_content }) =>
        type === 'item_reference' || (type === 'reasoning' && wordOf(encrypted_content) === undefined),
    ),
}

/** What an item of an answer is or stands in at the vendor: itself, if the answer is kept, and a container. */
export function madeIn(item: JsonValue | undefined, isKept: boolean): Made[] {
  const { id, container_id } = objectOf(item)
  return [
    ...(isKept && typeof id === 'string' ? [{ id, kind: 'item' }] : []),
    ...(typeof container_id === 'string' ? [{ id: container_id, kind: 'container' }] : []),
  ]
}
