/** Switzerland: AHV number. */
import { checked, nationalId } from './id.ts'

export const chAhv = nationalId({
  entity: 'CH_AHV',
  country: 'CH',
  at: 'number',
  pattern: /(?<![\w-])756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}(?![\w-])/g,
  valid: checked('CH', 'ssn'),
  words: ['ahv'],
  telling: true,
})
