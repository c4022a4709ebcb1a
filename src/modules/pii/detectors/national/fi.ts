/** Finland: personal identity code. */
import { checked, nationalId } from './id.ts'

export const fiHetu = nationalId({
  entity: 'FI_HETU',
  country: 'FI',
  at: 'number',
  pattern: /(?<![\w-])\d{6}[-+ABCDEFYXWVU]\d{3}[\dA-FHJ-NPR-Y](?![\w-])/g,
  digits: 6,
  valid: checked('FI', 'hetu'),
  words: ['hetu'],
  telling: true,
})
