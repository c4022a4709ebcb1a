/** Greece: AMKA. */
import { checked, nationalId } from './id.ts'

export const grAmka = nationalId({
  entity: 'GR_AMKA',
  country: 'GR',
  at: 'number',
  run: 11,
  pattern: /(?<![\w-])\d{11}(?![\w-])/g,
  valid: checked('GR', 'amka'),
  words: ['amka', 'αμκα'],
})
