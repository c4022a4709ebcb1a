/** Poland: PESEL. */
import { checked, nationalId } from './id.ts'

export const plPesel = nationalId({
  entity: 'PL_PESEL',
  country: 'PL',
  at: 'number',
  run: 11,
  pattern: /(?<![\w-])\d{11}(?![\w-])/g,
  valid: checked('PL', 'pesel'),
  words: ['pesel'],
})
