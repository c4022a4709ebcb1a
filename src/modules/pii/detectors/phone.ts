/**
 * Telephone numbers. Shapes find candidates; libphonenumber judges those with a country code, and those that follow a word
 * like "call". A number in North American or another telling grouping needs no word.
 */
import { type CountryCode, isPossiblePhoneNumber, isValidPhoneNumber } from 'libphonenumber-js/min'
import { type Detector, digitsOf, words } from '../detector.ts'

/** Written as people write numbers for people, so a number that no plan knows is still one. */
const inGroups = (found: string, least: number): boolean => found.split(/[^\d+]+/).filter(Boolean).length >= least

export const phoneInternational: Detector = {
  entity: 'PHONE',
  needs: /\+\d|00[1-9]/,
  pattern: /(?<![\w+])(?:\+|00)[1-9](?:[ ().\-/]{0,2}\d){6,14}(?:x\d{1,6})?(?!\w)/g,
  check(found) {
    const number = found.startsWith('00') ? `+${found.slice(2)}` : found
    return isValidPhoneNumber(number) || (inGroups(found, 3) && isPossiblePhoneNumber(number))
  },
  certainty: 7,
}

export const phoneGrouped: Detector = {
  entity: 'PHONE',
  at: 'number',
  digits: 10,
  pattern: /(?<![\w+.\-/])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}(?:x\d{1,6})?(?![\w-]| ?\d)/g,
  certainty: 5,
}

/** Where national numbers are tried, the commonest first. */
const COUNTRIES: readonly CountryCode[] = [
  'US',
  'GB',
  'DE',
  'FR',
  'ES',
  'IT',
  'PT',
  'NL',
  'BR',
  'IN',
  'CH',
  'AT',
  'BE',
  'PL',
  'SE',
  'NO',
  'DK',
  'FI',
  'AU',
]

export const phoneNational: Detector = {
  entity: 'PHONE',
  at: 'number',
  digits: 7,
  pattern: /(?<![\w+.\-/])\(?\d(?:[ ().\-/]{0,2}\d){5,14}(?:x\d{1,6})?(?!\w)/g,
  context: words(
    'phones?',
    'telephone',
    'tel',
    'mobile',
    'cell',
    'cellphone',
    'call',
    'calling',
    'called',
    'dial',
    'text me',
    'sms',
    'whatsapp',
    'fax',
    'desk',
    'office',
    'landline',
    'answering',
    'messages?',

    'reach',
    'ring',
    'contact',
    'telefon',
    'telefonnummer',
    'handy',
    'handynummer',
    'mobil',
    'rufnummer',
    'anrufen',
    'ruf',
    'téléphone',
    'portable',
    'appelez',
    'appeler',
    'joindre',
    'teléfono',
    'telefono',
    'móvil',
    'celular',
    'llame',
    'llamar',
    'llámame',
    'cellulare',
    'chiamare',
    'chiamami',
    'chiama',
    'telefone',
    'telemóvel',
    'ligue',
    'ligar',
    'contacto',
  ),
  weight: 'needed',
  within: 40,
  check(found) {
    const digits = digitsOf(found.split('x')[0] as string)
    if (digits.length < 7) return false
    return (
      (digits.length >= 8 && inGroups(found, 3)) || COUNTRIES.some((country) => isValidPhoneNumber(digits, country))
    )
  },
  certainty: 4,
}
