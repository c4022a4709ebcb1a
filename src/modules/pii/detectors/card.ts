/** Payment cards: Luhn, and a brand's prefix and length (ISO/IEC 7812) or a word before. */
import { type Detector, digitsOf, luhn, words } from '../detector.ts'

/** Prefix and lengths that a brand issues. Maestro also has short numbers; those need a word before. */
const BRAND =
  /^(?:4\d{15}(?:\d{3})?|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11,13}|6(?:011|5\d\d|4[4-9]\d|22\d)\d{12,15}|(?:35[2-8]\d)\d{12,15}|(?:5[0678]|6[0-9])\d{14,17}|62\d{14,17})$/

const shape = /(?<![\w.+-])\d(?:[ .-]?\d){11,18}(?![\w-]|\.\d)/g

/** As cards print them, or without any order; never as numbers that happen to stand in a row. */
function isGrouped(found: string): boolean {
  const sizes = found.split(/[ .-]/).map((part) => part.length)
  return (
    sizes.length === 1 ||
    sizes.every((n, i) => n === 4 || (n < 4 && i === sizes.length - 1)) ||
    /^(?:4,6,[45]|1(?:,1)+|2(?:,2)+)$/.test(sizes.join())
  )
}

export const card: Detector = {
  entity: 'CARD',
  at: 'number',
  digits: 12,
  pattern: shape,
  check(found) {
    const digits = digitsOf(found)
    return BRAND.test(digits) && luhn(digits) && isGrouped(found)
  },
  certainty: 8,
}

export const cardByName: Detector = {
  entity: 'CARD',
  at: 'number',
  digits: 12,
  pattern: new RegExp(shape),
  context: words(
    'cards?',
    'cc',
    'credit',
    'debit',
    'visa',
    'mastercard',
    'amex',
    'maestro',
    'pan',
    'kreditkarte',
    'karte',
    'kartennummer',
    'carte',
    'carte bancaire',
    'tarjeta',
    'carta',
    'carta di credito',
    'cartão',
  ),
  weight: 'needed',
  check: (found) => luhn(digitsOf(found)),
  certainty: 5,
}
