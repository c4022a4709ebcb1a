/** The United States: social security number, tax numbers of people and of employers. */
import { type Detector, digitsOf, words } from '../../detector.ts'
import { nationalId } from './id.ts'

/** No check digit, but areas, groups and serials that are never issued, and the numbers of advertisements. */
function issued(found: string): boolean {
  const digits = digitsOf(found)
  return (
    !/^(?:000|666|9)/.test(digits) &&
    digits.slice(3, 5) !== '00' &&
    digits.slice(5) !== '0000' &&
    digits !== '078051120' &&
    digits !== '219099999'
  )
}
const WORDS = [
  'ssn',
  'ss#',
  'social security',
  'social security number',
  'sozialversicherungsnummer',
  'sécurité sociale',
  'seguro social',
  'seguridad social',
  'previdenza sociale',
  'segurança social',
  'tax id',
]

/** With its hyphens it needs no words. */
export const usSsn: Detector = {
  entity: 'US_SSN',
  country: 'US',
  at: 'number',
  digits: 9,
  pattern: /(?<![\w+.-])\d{3}-\d{2}-\d{4}(?![\w-]|\.\d)/g,
  check: issued,
  certainty: 8,
}
export const usSsnPlain: Detector = {
  entity: 'US_SSN',
  country: 'US',
  at: 'number',
  digits: 9,
  pattern: /(?<![\w+.-])\d(?:[ .-]?\d){8}(?![\w-]|\.\d)/g,
  check: issued,
  context: words(...WORDS),
  weight: 'needed',
  certainty: 6,
}
export const usItin = nationalId({
  entity: 'US_ITIN',
  country: 'US',
  at: 'number',
  pattern: /(?<![\w-])9\d{2}[- ]?(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])[- ]?\d{4}(?![\w-])/g,
  valid: () => true,
  words: ['itin', 'taxpayer identification', 'tax id'],
})
export const usEin = nationalId({
  entity: 'US_EIN',
  country: 'US',
  at: 'number',
  pattern: /(?<![\w-])\d{2}-\d{7}(?![\w-])/g,
  valid: () => true,
  words: ['ein', 'fein', 'employer identification', 'employer identification number', 'tax id'],
})
