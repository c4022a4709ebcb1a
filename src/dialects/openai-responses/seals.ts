/**
 * Items that one account of the vendor has sealed, in `encrypted_content`. Reasoning can be left out, and then nothing may
 * name by its id what stood beside it; a compacted conversation cannot, because there is nothing else of it.
 */

import type { JsonObject, JsonValue } from '../../core/request.ts'
import type { Seals } from '../../core/seals.ts'
import { listOf, objectOf, without, wordOf } from '../openai-chat/index.ts'
import { unsealed } from './vocabulary.ts'

function sealOf(item: JsonValue | undefined): string | undefined {
  const content = wordOf(objectOf(item).encrypted_content)
  return content === '' ? undefined : content
}

export const sealsIn = (items: JsonValue | undefined): readonly string[] =>
  listOf(items).flatMap((item) => sealOf(item) ?? [])

const withoutId = (item: JsonValue): JsonValue => {
  const object = objectOf(item)
  const isMade = /_call$/.test(wordOf(object.type) ?? '') || object.role === 'assistant'
  return isMade && object.id !== undefined ? without(object, 'id') : item
}

export const seals: Seals = {
  of: (body: JsonObject) => sealsIn(body.input),
  without(body, isForeign) {
    const isLost = (item: JsonValue): boolean => {
      const seal = sealOf(item)
      return seal !== undefined && isForeign(seal)
    }
    const items = listOf(body.input)
    if (items.some((item) => isLost(item) && objectOf(item).type !== 'reasoning')) return undefined
    return { input: items.filter((item) => !isLost(item)).map(withoutId) }
  },
  isLent: (seal) => unsealed(seal) !== undefined,
  refused: ({ code, message }) =>
    code === 'invalid_encrypted_content' ||
    /encrypted content .*could not be (?:verified|decrypted)/i.test(message ?? ''),
}
