/** South Africa: identity number. */
import { checked, nationalId } from './id.ts'

export const zaIdentityNumber = nationalId({
  entity: 'ZA_IDENTITY_NUMBER',
  country: 'ZA',
  at: 'number',
  pattern: /(?<![\w-])\d{6} ?\d{4} ?\d{2} ?\d(?![\w-])/g,
  valid: checked('ZA', 'idnr'),
  words: ['sa id', 'id number', 'identity number', 'rsa id', 'id nommer'],
})
