/** Argentina: CUIT and CUIL. */
import { checked, nationalId } from './id.ts'

export const arCuit = nationalId({
  entity: 'AR_CUIT',
  country: 'AR',
  at: 'number',
  pattern: /(?<![\w-])\d{2}-?\d{8}-?\d(?![\w-])/g,
  valid: checked('AR', 'cuit'),
  words: ['cuit', 'cuil'],
})
