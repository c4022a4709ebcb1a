/**
 * What numbers that a state gives to people have in common: a shape, a check digit, and their own words. A shape of mere
 * digits with one check digit fits every tenth number, so such ids need a word before; shapes that nothing else has do not.
 */
import { stdnum } from 'stdnum'
import { type Detector, words } from '../../detector.ts'

export interface NationalId {
  readonly entity: string
  readonly country: string
  /** Whether a digit or a letter begins it. */
  readonly at: 'number' | 'code'
  readonly pattern: RegExp
  /** How many digits it has at least; eight unless told. */
  readonly digits?: number
  /** Exactly so many digits in one piece begin it. */
  readonly run?: number
  /** Throws or says no: both mean that it is none. */
  readonly valid: (text: string) => boolean
  readonly words: readonly string[]
  /** Nothing else looks like it. */
  readonly telling?: true
}

export function nationalId({
  entity,
  country,
  at,
  pattern,
  digits = 8,
  run,
  valid,
  words: before,
  telling,
}: NationalId): Detector {
  return {
    entity,
    country,
    pattern,
    at,
    digits,
    ...(run === undefined ? {} : { run }),
    check(found) {
      try {
        return valid(found)
      } catch {
        return false
      }
    },
    context: words(...before),
    ...(telling ? {} : { weight: 'needed' as const }),
    certainty: 7,
  }
}

/** As the library judges it, whatever separators it was written with. */
export function checked(country: string, name: string): (text: string) => boolean {
  const validator = stdnum[country]?.[name]
  if (!validator) throw new Error(`stdnum has no ${country}.${name}`)
  return (text) => validator.validate(text.replace(/[\s.]/g, '')).isValid
}
