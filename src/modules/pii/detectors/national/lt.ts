/** Lithuania: personal code. */
import { checked, nationalId } from './id.ts'

export const ltPersonalCode = nationalId({
  entity: 'LT_PERSONAL_CODE',
  country: 'LT',
  at: 'number',
  run: 11,
  pattern: /(?<![\w-])[1-8]\d{10}(?![\w-])/g,
  valid: checked('LT', 'asmens'),
  words: ['asmens kodas', 'asmens kodo'],
})
