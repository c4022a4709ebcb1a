/** Norway: birth number. */
import { checked, nationalId } from './id.ts'

export const noBirthNumber = nationalId({
  entity: 'NO_BIRTH_NUMBER',
  country: 'NO',
  at: 'number',
  pattern: /(?<![\w-])\d{6} ?\d{5}(?![\w-])/g,
  valid: checked('NO', 'fodselsnummer'),
  words: ['fødselsnummer', 'personnummer', 'birth number', 'fnr'],
})
