/** Croatia: OIB. */
import { checked, nationalId } from './id.ts'

export const hrOib = nationalId({
  entity: 'HR_OIB',
  country: 'HR',
  at: 'number',
  run: 11,
  pattern: /(?<![\w-])\d{11}(?![\w-])/g,
  valid: checked('HR', 'oib'),
  words: ['oib'],
})
