/** Belgium: national register number. */
import { checked, nationalId } from './id.ts'

export const beNationalNumber = nationalId({
  entity: 'BE_NATIONAL_NUMBER',
  country: 'BE',
  at: 'number',
  pattern: /(?<![\w-])\d{2}\.?\d{2}\.?\d{2}[- ]?\d{3}[. ]?\d{2}(?![\w-])/g,
  valid: checked('BE', 'nn'),
  words: ['rijksregisternummer', 'registre national', 'numéro national', 'national number', 'nn', 'insz', 'niss'],
})
