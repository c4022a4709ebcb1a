/** Mexico: CURP. */
import { checked, nationalId } from './id.ts'

export const mxCurp = nationalId({
  entity: 'MX_CURP',
  country: 'MX',
  at: 'code',
  pattern: /(?<!\w)[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z\d]\d(?!\w)/g,
  digits: 6,
  valid: checked('MX', 'curp'),
  words: ['curp'],
  telling: true,
})
