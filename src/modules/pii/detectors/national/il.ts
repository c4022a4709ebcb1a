/** Israel: identity number. */
import { checked, nationalId } from './id.ts'

export const ilIdentityNumber = nationalId({
  entity: 'IL_IDENTITY_NUMBER',
  country: 'IL',
  at: 'number',
  pattern: /(?<![\w-])\d{8,9}(?![\w-])/g,
  valid: checked('IL', 'idnr'),
  words: ['teudat zehut', 'mispar zehut', 'israeli id', 'תעודת זהות'],
})
