/** Passports and driving licences: every issuer has its own numbers, so only words before tell them apart from any other. */
import { type Detector, words } from '../detector.ts'

const enoughDigits = (found: string): boolean => (found.match(/\d/g)?.length ?? 0) >= 4

export const passport: Detector = {
  entity: 'PASSPORT',
  at: 'either',
  digits: 4,
  pattern: /(?<![\w-])(?=[A-Za-z]{0,3}\d)[A-Za-z0-9]{6,10}(?![\w-])/g,
  context: words(
    'passports?',
    'passport number',
    'reisepass',
    'reisepassnummer',
    'passnummer',
    'passeport',
    'pasaporte',
    'passaporto',
    'passaporte',
  ),
  weight: 'needed',
  within: 40,
  check: enoughDigits,
  certainty: 2,
}

export const drivingLicence: Detector = {
  entity: 'DRIVING_LICENCE',
  at: 'either',
  digits: 4,
  pattern: /(?<![\w-])(?=[A-Za-z]{0,6}\d)[A-Za-z0-9](?:-?[A-Za-z0-9]){4,18}(?![\w-])/g,
  context: words(
    "drivers?'?s? licen[cs]e",
    "driver['’]?s licen[cs]e",
    'driving licen[cs]e',
    'dl number',
    'führerschein',
    'führerscheinnummer',
    'permis de conduire',
    'licencia de conducir',
    'permiso de conducir',
    'carnet de conducir',
    'patente di guida',
    'patente',
    'carta de condução',
    'cnh',
  ),
  weight: 'needed',
  within: 50,
  check: enoughDigits,
  certainty: 2,
}
