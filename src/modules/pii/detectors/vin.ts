/** Vehicles (ISO 3779): the check digit that North America demands, or a word before. */
import { type Detector, words } from '../detector.ts'

const WEIGHTS = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2]
const VALUES: Readonly<Record<string, number>> = {
  A: 1,
  B: 2,
  C: 3,
  D: 4,
  E: 5,
  F: 6,
  G: 7,
  H: 8,
  J: 1,
  K: 2,
  L: 3,
  M: 4,
  N: 5,
  P: 7,
  R: 9,
  S: 2,
  T: 3,
  U: 4,
  V: 5,
  W: 6,
  X: 7,
  Y: 8,
  Z: 9,
}

export const vin: Detector = {
  entity: 'VIN',
  at: 'either',
  digits: 4,
  pattern: /(?<![\w-])(?=[A-Z0-9]{0,16}\d)(?=[A-Z0-9]{0,16}[A-Z])[A-HJ-NPR-Z0-9]{17}(?![\w-])/g,
  check(found) {
    let sum = 0
    for (let i = 0; i < 17; i++) sum += (VALUES[found[i] as string] ?? Number(found[i])) * (WEIGHTS[i] as number)
    const digit = sum % 11
    return found[8] === (digit === 10 ? 'X' : String(digit)) && /[A-Z]/.test(found.slice(0, 3)) && /\d{4}$/.test(found)
  },
  context: words(
    'vin',
    'vehicle',
    'chassis',
    'car',
    'fahrgestellnummer',
    'fin',
    'châssis',
    'bastidor',
    'telaio',
    'chassi',
  ),
  weight: 'instead',
  certainty: 7,
}
