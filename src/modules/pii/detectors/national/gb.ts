/** The United Kingdom: National Insurance and National Health Service numbers. */
import { digitsOf } from '../../detector.ts'
import { nationalId } from './id.ts'

/** Weights 10 to 2, modulo 11. */
function nhsChecked(text: string): boolean {
  const digits = digitsOf(text)
  let sum = 0
  for (let i = 0; i < 9; i++) sum += Number(digits[i]) * (10 - i)
  const check = (11 - (sum % 11)) % 11
  return check !== 10 && check === Number(digits[9])
}

export const gbNino = nationalId({
  entity: 'GB_NINO',
  country: 'GB',
  at: 'code',
  pattern: /(?<![\w-])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?![\w-])/g,
  digits: 6,
  valid: (text) => !/^(?:BG|GB|NK|KN|TN|NT|ZZ)/i.test(text),
  words: ['nino', 'national insurance'],
  telling: true,
})

export const gbNhs = nationalId({
  entity: 'GB_NHS',
  country: 'GB',
  at: 'number',
  pattern: /(?<![\w-])\d{3}[- ]?\d{3}[- ]?\d{4}(?![\w-])/g,
  valid: nhsChecked,
  words: ['nhs', 'nhs number', 'health service', 'patient'],
})
