/** Taiwan: national identity number. */
import { checked, nationalId } from './id.ts'

export const twNationalId = nationalId({
  entity: 'TW_NATIONAL_ID',
  country: 'TW',
  at: 'code',
  pattern: /(?<!\w)[A-Z][12]\d{8}(?!\w)/g,
  valid: checked('TW', 'natid'),
  words: ['taiwan', 'national id', '身分證'],
})
