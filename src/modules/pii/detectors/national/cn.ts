/** China: resident identity number. */
import { checked, nationalId } from './id.ts'

export const cnResidentId = nationalId({
  entity: 'CN_RESIDENT_ID',
  country: 'CN',
  at: 'number',
  pattern: /(?<![\w-])[1-9]\d{16}[\dXx](?![\w-])/g,
  valid: checked('CN', 'ric'),
  words: ['resident identity'],
  telling: true,
})
