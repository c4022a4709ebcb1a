/** Czechia: birth number. */
import { checked, nationalId } from './id.ts'

export const czBirthNumber = nationalId({
  entity: 'CZ_BIRTH_NUMBER',
  country: 'CZ',
  at: 'number',
  pattern: /(?<![\w-])\d{6}\/?\d{3,4}(?![\w-])/g,
  valid: checked('CZ', 'rc'),
  words: ['rodné číslo', 'rodného čísla', 'birth number', 'rč'],
})
