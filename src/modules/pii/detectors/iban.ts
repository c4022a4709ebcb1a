/** Bank accounts: ISO 13616, with each country's length and the check digits (mod 97). */
import type { Detector } from '../detector.ts'

/** The registry's lengths, as `CC` and number in one text. */
const LENGTHS = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 ' +
    'FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 ' +
    'LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 ' +
    'RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))] as const),
)

/** Long numbers by parts of nine digits, letters as 10 to 35. */
export function mod97(text: string): number {
  let rest = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const value = code <= 57 ? code - 48 : code - 55
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97
  }
  return rest
}

export const iban: Detector = {
  entity: 'IBAN',
  at: 'code',
  digits: 8,
  pattern: /(?<![\w-])[A-Za-z]{2}[ -]?\d[ -]?\d(?:[ -]?[A-Za-z0-9]){11,30}(?!\w)/g,
  check(found) {
    const length = LENGTHS.get(found.slice(0, 2).toUpperCase())
    if (length === undefined) return false
    // The pattern may have run on into the next words: only so many characters are the number's.
    let end = 0
    let plain = ''
    for (; end < found.length && plain.length < length; end++) if (/\w/.test(found[end] as string)) plain += found[end]
    if (plain.length < length || /\w/.test(found[end] ?? ' ')) return false
    const upper = plain.toUpperCase()
    return mod97(upper.slice(4) + upper.slice(0, 4)) === 1 ? end : false
  },
  certainty: 11,
}
