/** The Netherlands: BSN. */
import { checked, nationalId } from './id.ts'

export const nlBsn = nationalId({
  entity: 'NL_BSN',
  country: 'NL',
  at: 'number',
  pattern: /(?<![\w-])\d{4}[. ]?\d{2}[. ]?\d{3}(?![\w-])/g,
  valid: checked('NL', 'bsn'),
  words: ['bsn', 'burgerservicenummer', 'sofinummer'],
})
