/** Sweden: personal number. */
import { checked, nationalId } from './id.ts'

export const sePersonalNumber = nationalId({
  entity: 'SE_PERSONAL_NUMBER',
  country: 'SE',
  at: 'number',
  pattern: /(?<![\w-])(?:\d{2})?\d{6}[-+]?\d{4}(?![\w-])/g,
  digits: 6,
  valid: checked('SE', 'personnummer'),
  words: ['personnummer', 'personal number', 'personal identity number'],
})
