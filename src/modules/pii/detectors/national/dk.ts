/** Denmark: CPR number. */
import { checked, nationalId } from './id.ts'

export const dkCpr = nationalId({
  entity: 'DK_CPR',
  country: 'DK',
  at: 'number',
  pattern: /(?<![\w-])\d{6}-?\d{4}(?![\w-])/g,
  valid: checked('DK', 'cpr'),
  words: ['cpr', 'cpr-nummer', 'cpr number'],
})
