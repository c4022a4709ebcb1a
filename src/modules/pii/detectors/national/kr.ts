/** Korea: resident registration number. */
import { checked, nationalId } from './id.ts'

export const krRrn = nationalId({
  entity: 'KR_RRN',
  country: 'KR',
  at: 'number',
  pattern: /(?<![\w-])\d{6}-?[1-8]\d{6}(?![\w-])/g,
  valid: checked('KR', 'rrn'),
  words: ['rrn', 'resident registration', '주민등록번호'],
})
