/** Postal codes and dates of birth: numbers like any other unless words before say what they are. */
import { type Detector, words } from '../detector.ts'

export const zip: Detector = {
  entity: 'ZIP',
  at: 'either',
  digits: 2,
  pattern:
    /(?<![\w-])(?:\d{5}(?:-\d{3,4})?|\d{4}(?:-\d{3})?|\d{6}|\d{4} ?[A-Z]{2}|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d)(?![\w-])/g,
  context: words(
    'zip',
    'zip ?code',
    'zipcode',
    'postal code',
    'post ?code',
    'plz',
    'postleitzahl',
    'code postal',
    'código postal',
    'cap',
    'cep',
  ),
  weight: 'needed',
  within: 40,
  certainty: 1,
}

const MONTHS =
  'jan(?:uary|uar|vier)?|feb(?:ruary|ruar|brero)?|f[ée]v(?:rier|ereiro)?|febbraio|mar(?:ch|s|zo|ço)?|märz|apr(?:il|ile)?|avril|abril|ma[iy]o?|maggio|june?|juni|juin|junio|giugno|junho|july?|juli|juillet|julio|luglio|julho|aug(?:ust)?|août|agosto|sept?(?:ember|embre|iembre)?|settembre|setembro|o[ck]t(?:ober|obre|ubre)?|ottobre|outubro|nov(?:ember|embre|iembre|embro)?|de[cz](?:ember|iembre|embro)?|décembre|dicembre|gennaio|enero|janeiro'

const born = {
  entity: 'DATE_OF_BIRTH',
  context: words(
    'born',
    'birth',
    'birth ?date',
    'birthday',
    'dob',
    'd\\.o\\.b',
    'geboren',
    'geb',
    'geburtsdatum',
    'geburtstag',
    'née?',
    'né\\(e\\)',
    'naissance',
    'nacid[oa]',
    'nací',
    'nacimiento',
    'nat[oa]',
    'nascita',
    'nascid[oa]',
    'nasci',
    'nascimento',
  ),
  weight: 'needed',
  within: 30,
  certainty: 5,
} as const

/** `1980-03-12`, `12.3.80`, `12 March 1980`, `12 de marzo de 1980`. */
export const dateOfBirth: Detector = {
  ...born,
  at: 'number',
  digits: 3,
  pattern: new RegExp(
    `(?<![\\w./-])(?:\\d{4}[-/.]\\d{1,2}[-/.]\\d{1,2}|\\d{1,2}[-/.]\\d{1,2}[-/.](?:\\d{4}|\\d{2})|\\d{1,2}(?:st|nd|rd|th|\\.)?(?: de| of)? (?:${MONTHS})\\.?,?(?: de)? \\d{4})(?![\\w/-])`,
    'gi',
  ),
}

/** `March 12, 1980`. */
export const dateOfBirthInWords: Detector = {
  ...born,
  needs: /birth|born|dob/i,
  pattern: new RegExp(`(?<!\\w)(?:${MONTHS})\\.? \\d{1,2}(?:st|nd|rd|th)?,? \\d{4}(?![\\w/-])`, 'gi'),
}
