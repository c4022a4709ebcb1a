/** India: Aadhaar, and the tax account number (PAN). */
import { checked, nationalId } from './id.ts'

export const inAadhaar = nationalId({
  entity: 'IN_AADHAAR',
  country: 'IN',
  at: 'number',
  pattern: /(?<![\w-])[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}(?![\w-])/g,
  valid: checked('IN', 'aadhaar'),
  words: ['aadhaar', 'aadhar', 'uidai', 'uid'],
})

export const inPan = nationalId({
  entity: 'IN_PAN',
  country: 'IN',
  at: 'code',
  pattern: /(?<!\w)[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z](?!\w)/g,
  digits: 4,
  valid: checked('IN', 'pan'),
  words: ['pan', 'pan card', 'pan number', 'permanent account number'],
})
