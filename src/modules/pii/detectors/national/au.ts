/** Australia: tax file number. */
import { checked, nationalId } from './id.ts'

export const auTfn = nationalId({
  entity: 'AU_TFN',
  country: 'AU',
  at: 'number',
  pattern: /(?<![\w-])\d{3} ?\d{3} ?\d{2,3}(?![\w-])/g,
  valid: checked('AU', 'tfn'),
  words: ['tfn', 'tax file number'],
})
