/** Canada: social insurance number. */
import { checked, nationalId } from './id.ts'

export const caSin = nationalId({
  entity: 'CA_SIN',
  country: 'CA',
  at: 'number',
  pattern: /(?<![\w-])\d{3}[- ]?\d{3}[- ]?\d{3}(?![\w-])/g,
  valid: checked('CA', 'sin'),
  words: ['sin', 'social insurance', 'social insurance number', 'assurance sociale', 'nas'],
})
