/** Türkiye: identity number. */
import { checked, nationalId } from './id.ts'

export const trIdentityNumber = nationalId({
  entity: 'TR_IDENTITY_NUMBER',
  country: 'TR',
  at: 'number',
  run: 11,
  pattern: /(?<![\w-])[1-9]\d{10}(?![\w-])/g,
  valid: checked('TR', 'tckimlik'),
  words: ['tckn', 'tc kimlik', 'kimlik', 'kimlik no'],
})
