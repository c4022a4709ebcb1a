/** Thailand: identity number. */
import { checked, nationalId } from './id.ts'

export const thIdentityNumber = nationalId({
  entity: 'TH_IDENTITY_NUMBER',
  country: 'TH',
  at: 'number',
  pattern: /(?<![\w-])\d[- ]?\d{4}[- ]?\d{5}[- ]?\d{2}[- ]?\d(?![\w-])/g,
  valid: checked('TH', 'idnr'),
  words: ['thai id', 'thai identity', 'national id', 'เลขประจำตัวประชาชน'],
})
