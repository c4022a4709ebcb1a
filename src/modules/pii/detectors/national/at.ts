/** Austria: social insurance number. */
import { checked, nationalId } from './id.ts'

export const atSvnr = nationalId({
  entity: 'AT_SVNR',
  country: 'AT',
  at: 'number',
  pattern: /(?<![\w-])\d{4} ?\d{6}(?![\w-])/g,
  valid: checked('AT', 'vnr'),
  words: ['svnr', 'sv-?nummer', 'sozialversicherungsnummer', 'versicherungsnummer'],
})
