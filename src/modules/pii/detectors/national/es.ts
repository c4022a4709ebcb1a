/** Spain: DNI of citizens, NIE of foreigners. */
import { checked, nationalId } from './id.ts'

export const esDni = nationalId({
  entity: 'ES_DNI',
  country: 'ES',
  at: 'number',
  pattern: /(?<![\w-])\d{2}\.?\d{3}\.?\d{3}[- ]?[A-HJ-NP-TV-Z](?![\w-])/g,
  valid: checked('ES', 'dni'),
  words: ['dni'],
  telling: true,
})

export const esNie = nationalId({
  entity: 'ES_NIE',
  country: 'ES',
  at: 'code',
  pattern: /(?<![\w-])[XYZ][- ]?\d{7}[- ]?[A-HJ-NP-TV-Z](?![\w-])/g,
  digits: 7,
  valid: checked('ES', 'nie'),
  words: ['nie'],
  telling: true,
})
