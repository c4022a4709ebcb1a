/** Romania: CNP. */
import { checked, nationalId } from './id.ts'

export const roCnp = nationalId({
  entity: 'RO_CNP',
  country: 'RO',
  at: 'number',
  run: 13,
  pattern: /(?<![\w-])[1-9]\d{12}(?![\w-])/g,
  valid: checked('RO', 'cnp'),
  words: ['cnp', 'cod numeric personal'],
})
