/** Estonia: personal code. */
import { checked, nationalId } from './id.ts'

export const eePersonalCode = nationalId({
  entity: 'EE_PERSONAL_CODE',
  country: 'EE',
  at: 'number',
  run: 11,
  pattern: /(?<![\w-])[1-8]\d{10}(?![\w-])/g,
  valid: checked('EE', 'ik'),
  words: ['isikukood', 'personal code'],
})
