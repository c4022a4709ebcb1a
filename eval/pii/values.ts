/**
 * Made-up values with valid checksums, entity by entity, from one seeded source. Where a checksum is all that tells a number
 * from any other, shapes are drawn until a check agrees: for national ids that is the library's, whose own tests are its
 * vendor's; the rest is computed here, apart from the product's code.
 */
import { createHash } from 'node:crypto'
import type { Faker } from '@faker-js/faker'
import { stdnum } from 'stdnum'

export interface Draw {
  readonly faker: Faker
  digits(n: number): string
  letters(n: number, from?: string): string
  pick<T>(list: readonly T[]): T
  number(min: number, max: number): number
}
export type Maker = (draw: Draw) => string

const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const ALNUM = `${UPPER}abcdefghijklmnopqrstuvwxyz0123456789`
const two = (n: number): string => String(n).padStart(2, '0')
const date = (d: Draw, order: 'ymd' | 'dmy', from = 1930, to = 1999): string => {
  const [y, m, day] = [two(d.number(from, to) % 100), two(d.number(1, 12)), two(d.number(1, 28))]
  return order === 'ymd' ? y + m + day : day + m + y
}

/** Draws until the check agrees; a shape that never does is a mistake. */
const until =
  (country: string, name: string, shape: Maker): Maker =>
  (d) => {
    const validator = stdnum[country]?.[name]
    for (let i = 0; i < 20_000; i++) {
      const value = shape(d)
      if (validator?.validate(value.replace(/[\s.]/g, '')).isValid) return value
    }
    throw new Error(`no ${country}.${name} in 20,000 draws`)
  }

function luhnDigit(body: string): string {
  let sum = 0
  for (let i = 0; i < body.length; i++) {
    const n = Number(body[body.length - 1 - i]) * (i % 2 === 0 ? 2 : 1)
    sum += n > 9 ? n - 9 : n
  }
  return String((10 - (sum % 10)) % 10)
}

const grouped = (text: string, sizes: readonly number[], by: string): string => {
  const parts: string[] = []
  let at = 0
  for (const size of sizes) {
    parts.push(text.slice(at, at + size))
    at += size
  }
  if (at < text.length) parts.push(text.slice(at))
  return parts.filter(Boolean).join(by)
}

const card: Maker = (d) => {
  const [prefix, length] = d.pick([
    ['4', 16],
    [`5${d.number(1, 5)}`, 16],
    ['2221', 16],
    ['34', 15],
    ['37', 15],
    ['6011', 16],
    ['36', 14],
    ['3530', 16],
  ] as const)
  const body = prefix + d.digits(length - prefix.length - 1)
  const plain = body + luhnDigit(body)
  const by = d.pick(['', '', ' ', '-'])
  return grouped(plain, length === 15 ? [4, 6, 5] : [4, 4, 4, 4], by)
}

const IBANS: readonly [string, string][] = [
  ['DE', 'n18'],
  ['GB', 'a4n14'],
  ['FR', 'n10c11n2'],
  ['ES', 'n20'],
  ['IT', 'a1n10c12'],
  ['PT', 'n21'],
  ['NL', 'a4n10'],
  ['BE', 'n12'],
  ['AT', 'n16'],
  ['CH', 'n5c12'],
  ['PL', 'n24'],
  ['SE', 'n20'],
  ['NO', 'n11'],
  ['DK', 'n14'],
  ['IE', 'a4n14'],
]
const iban: Maker = (d) => {
  const [country, shape] = d.pick(IBANS)
  let bban = ''
  for (const [, kind, n] of shape.matchAll(/([nac])(\d+)/g)) {
    bban += kind === 'n' ? d.digits(Number(n)) : d.letters(Number(n), kind === 'a' ? UPPER : `${UPPER}0123456789`)
  }
  const long = [...`${bban}${country}00`].map((c) => Number.parseInt(c, 36).toString()).join('')
  const check = two(Number(98n - (BigInt(long) % 97n)))
  const plain = country + check + bban
  return d.pick([plain, grouped(plain, [4, 4, 4, 4, 4, 4, 4, 4], ' ')])
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const sha = (b: Buffer): Buffer => createHash('sha256').update(b).digest()
const bitcoin: Maker = (d) => {
  const payload = Buffer.concat([
    Buffer.from([d.pick([0, 5])]),
    Buffer.from(Array.from({ length: 20 }, () => d.number(1, 255))),
  ])
  let n = BigInt(`0x${Buffer.concat([payload, sha(sha(payload)).subarray(0, 4)]).toString('hex')}`)
  let out = ''
  for (; n > 0n; n /= 58n) out = BASE58[Number(n % 58n)] + out
  return payload[0] === 0 ? `1${out}` : out
}

const phone: Maker = (d) => {
  const nanp = () => `${d.number(2, 9)}${d.number(0, 8)}${d.number(1, 9)}`
  const [a, b, c] = [d.pick(['212', '415', '312', '617', '202', '305', '206', '512']), nanp(), d.digits(4)]
  return d.pick([
    `(${a}) ${b}-${c}`,
    `${a}-${b}-${c}`,
    `+1 ${a} ${b} ${c}`,
    `+1-${a}-${b}-${c}`,
    `+49 30 ${d.number(2, 9)}${d.digits(6)}`,
    `+49 151 ${d.number(1, 9)}${d.digits(7)}`,
    `+33 6 ${d.number(10, 98)} ${d.digits(2)} ${d.digits(2)} ${d.digits(2)}`,
    `+44 20 7${d.digits(3)} ${d.digits(4)}`,
    `+44 7911 1${d.digits(5)}`,
    `+34 6${d.digits(2)} ${d.digits(3)} ${d.digits(3)}`,
    `+39 06 ${d.number(10, 98)}${d.digits(2)} ${d.digits(4)}`,
    `+351 91${d.number(0, 9)} ${d.digits(3)} ${d.digits(3)}`,
    `0151 ${d.number(1, 9)}${d.digits(7)}`,
    `030 ${d.number(2, 9)}${d.digits(6)}`,
    `06 ${d.number(10, 98)} ${d.digits(2)} ${d.digits(2)} ${d.digits(2)}`,
    `6${d.digits(2)} ${d.digits(3)} ${d.digits(3)}`,
    `07911 1${d.digits(5)}`,
    `${a}.${b}.${c}`,
  ])
}

const ssn: Maker = (d) => {
  const area = d.pick([d.number(1, 665), d.number(667, 899)])
  return `${String(area).padStart(3, '0')}-${two(d.number(1, 99))}-${String(d.number(1, 9999)).padStart(4, '0')}`
}

const vin: Maker = (d) => {
  const chars = 'ABCDEFGHJKLMNPRSTUVWXYZ0123456789'
  const values = '0123456789.ABCDEFGH..JKLMN.P.R..STUVWXYZ'
  for (;;) {
    const plain =
      d.letters(1, 'JKLSTVWYZ') +
      d.letters(2, 'ABCDEFGHJKLMNPRSTUVWXYZ') +
      d.letters(8, chars) +
      d.letters(2, chars) +
      d.digits(4)
    let sum = 0
    for (let i = 0; i < 17; i++)
      sum +=
        (values.indexOf(plain[i] as string) % 10) * ([8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2][i] as number)
    const digit = sum % 11 === 10 ? 'X' : String(sum % 11)
    return plain.slice(0, 8) + digit + plain.slice(9)
  }
}

const hex = (d: Draw, n: number): string => d.letters(n, '0123456789abcdef')
const base64url = (d: Draw, value: object): string =>
  Buffer.from(JSON.stringify({ ...value, n: d.digits(12) })).toString('base64url')

const nhs: Maker = (d) => {
  for (;;) {
    const body = d.digits(9)
    const sum = [...body].reduce((s, c, i) => s + Number(c) * (10 - i), 0)
    const check = (11 - (sum % 11)) % 11
    if (check !== 10) return grouped(body + check, [3, 3, 4], d.pick(['', ' ']))
  }
}

/** Entity → how a value of it is made. */
export const MAKERS: Readonly<Record<string, Maker>> = {
  EMAIL: (d) => d.faker.internet.email().toLowerCase(),
  PHONE: phone,
  CARD: card,
  IBAN: iban,
  BIC: (d) =>
    d.letters(4, UPPER) + d.pick(['DE', 'FR', 'GB', 'ES', 'IT', 'NL']) + d.letters(2, UPPER) + d.pick(['', 'XXX']),
  IP: (d) =>
    d.pick([
      `${d.number(1, 223)}.${d.number(0, 255)}.${d.number(0, 255)}.${d.number(10, 254)}`,
      `2001:db8:${hex(d, 4)}:${hex(d, 3)}1:${hex(d, 4)}:8a2e:370:${hex(d, 4)}`,
      `fe80::${hex(d, 3)}1:${hex(d, 4)}`,
    ]),
  MAC: (d) => Array.from({ length: 6 }, () => hex(d, 2)).join(d.pick([':', '-'])),
  URL_CREDENTIALS: (d) => `${d.letters(6, 'abcdefghijklm')}:${d.letters(12, ALNUM)}`,
  CRYPTO_ADDRESS: (d) => d.pick([bitcoin, (e: Draw) => `0x${hex(e, 40)}`])(d),
  VIN: vin,
  PASSPORT: (d) => d.pick([d.letters(1, UPPER) + d.digits(8), d.digits(9), d.letters(2, UPPER) + d.digits(7)]),
  DRIVING_LICENCE: (d) => d.pick([d.letters(1, UPPER) + d.digits(12), d.letters(1, UPPER) + d.digits(7), d.digits(9)]),
  ZIP: (d) => d.pick([d.digits(5), `${d.digits(5)}-${d.digits(4)}`]),
  DATE_OF_BIRTH: (d) =>
    d.pick([
      `${d.number(1930, 2005)}-${two(d.number(1, 12))}-${two(d.number(1, 28))}`,
      `${two(d.number(1, 28))}.${two(d.number(1, 12))}.${d.number(1930, 2005)}`,
      `${d.number(1, 12)}/${d.number(1, 28)}/${d.number(1930, 2005)}`,
    ]),
  API_KEY: (d) =>
    d.pick([
      `sk-proj-${d.letters(48, ALNUM)}7`,
      `sk-ant-api03-${d.letters(60, ALNUM)}1`,
      `AIza${d.letters(35, ALNUM)}`,
      `gsk_${d.letters(50, ALNUM)}2`,
    ]),
  CLOUD_KEY: (d) => `AKIA${d.letters(16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}`,
  ACCESS_TOKEN: (d) =>
    d.pick([
      `ghp_${d.letters(36, ALNUM)}`,
      `xoxb-${d.digits(12)}-${d.letters(24, ALNUM)}`,
      `sk_live_${d.letters(24, ALNUM)}`,
      `glpat-${d.letters(20, ALNUM)}`,
    ]),
  JWT: (d) => `${base64url(d, { alg: 'HS256' })}.${base64url(d, { sub: 'u' })}.${d.letters(43, ALNUM)}`,
  PRIVATE_KEY: (d) =>
    `-----BEGIN PRIVATE KEY-----\n${d.letters(64, ALNUM)}\n${d.letters(40, ALNUM)}\n-----END PRIVATE KEY-----`,
  SECRET: (d) => d.letters(20, ALNUM) + d.digits(2) + d.letters(1, UPPER) + d.letters(1, 'abc'),
  US_SSN: ssn,
  US_ITIN: (d) => `9${d.digits(2)}-${d.number(70, 88)}-${d.digits(4)}`,
  US_EIN: (d) => `${d.number(10, 99)}-${d.digits(7)}`,
  CA_SIN: until('CA', 'sin', (d) => d.number(1, 7) + d.digits(8)),
  MX_CURP: until(
    'MX',
    'curp',
    (d) =>
      `${d.letters(1, UPPER)}${d.letters(1, 'AEIO')}${d.letters(2, UPPER)}${date(d, 'ymd')}${d.pick(['H', 'M'])}${d.pick(['DF', 'JC', 'NL', 'PL'])}${d.letters(3, 'BCDFGHJKLM')}${d.digits(2)}`,
  ),
  BR_CPF: until('BR', 'cpf', (d) => `${d.digits(3)}.${d.digits(3)}.${d.digits(3)}-${d.digits(2)}`),
  AR_CUIT: until('AR', 'cuit', (d) => `${d.pick(['20', '27', '23'])}-${d.digits(8)}-${d.digits(1)}`),
  CL_RUT: until('CL', 'rut', (d) => `${d.number(5, 25)}.${d.digits(3)}.${d.digits(3)}-${d.pick([...'0123456789K'])}`),
  GB_NINO: (d) =>
    `${d.letters(1, 'ABCEHJLMPRSTWX')}${d.letters(1, 'ABCEHJLMPRSTWX')} ${d.digits(2)} ${d.digits(2)} ${d.digits(2)} ${d.letters(1, 'ABCD')}`,
  GB_NHS: nhs,
  IE_PPS: until('IE', 'pps', (d) => d.digits(7) + d.letters(1, 'ABCDEFGHIJKLMNOPQRSTUVW')),
  DE_PENSION_NUMBER: until(
    'DE',
    'svnr',
    (d) => `${d.pick(['10', '12', '15', '65'])}${date(d, 'dmy')}${d.letters(1, UPPER)}${d.digits(3)}`,
  ),
  DE_TAX_ID: until('DE', 'idnr', (d) => d.number(1, 9) + d.digits(10)),
  FR_NIR: until(
    'FR',
    'nir',
    (d) =>
      `${d.number(1, 2)}${two(d.number(30, 99))}${two(d.number(1, 12))}${two(d.number(1, 95))}${d.digits(6)}${two(d.number(1, 97))}`,
  ),
  ES_DNI: until('ES', 'dni', (d) => d.digits(8) + d.letters(1, 'TRWAGMYFPDXBNJZSQVHLCKE')),
  ES_NIE: until('ES', 'nie', (d) => d.letters(1, 'XYZ') + d.digits(7) + d.letters(1, 'TRWAGMYFPDXBNJZSQVHLCKE')),
  IT_FISCAL_CODE: until(
    'IT',
    'codicefiscale',
    (d) =>
      `${d.letters(6, 'BCDFGLMNPRSTV')}${d.number(30, 99)}${d.letters(1, 'ABCDEHLMPRST')}${two(d.number(1, 28))}${d.letters(1, 'ABCDEFGHIL')}${String(d.number(1, 999)).padStart(3, '0')}${d.letters(1, UPPER)}`,
  ),
  PT_NIF: until('PT', 'nif', (d) => `${d.pick(['1', '2'])}${d.digits(8)}`),
  NL_BSN: until('NL', 'bsn', (d) => d.number(1, 9) + d.digits(8)),
  BE_NATIONAL_NUMBER: until('BE', 'nn', (d) => `${date(d, 'ymd')}${d.digits(3)}${two(d.number(1, 97))}`),
  AT_SVNR: until('AT', 'vnr', (d) => `${d.number(1, 9)}${d.digits(3)}${date(d, 'dmy')}`),
  CH_AHV: until('CH', 'ssn', (d) => `756.${d.digits(4)}.${d.digits(4)}.${d.digits(2)}`),
  DK_CPR: until('DK', 'cpr', (d) => `${date(d, 'dmy')}-${d.digits(4)}`),
  NO_BIRTH_NUMBER: until('NO', 'fodselsnummer', (d) => date(d, 'dmy') + d.digits(5)),
  SE_PERSONAL_NUMBER: until('SE', 'personnummer', (d) => `${date(d, 'ymd')}-${d.digits(4)}`),
  FI_HETU: until(
    'FI',
    'hetu',
    (d) => `${date(d, 'dmy')}-${d.digits(3)}${d.letters(1, '0123456789ABCDEFHJKLMNPRSTUVWXY')}`,
  ),
  PL_PESEL: until('PL', 'pesel', (d) => date(d, 'ymd') + d.digits(5)),
  CZ_BIRTH_NUMBER: until('CZ', 'rc', (d) => `${date(d, 'ymd', 1960)}/${d.digits(4)}`),
  RO_CNP: until('RO', 'cnp', (d) => `${d.number(1, 2)}${date(d, 'ymd')}${two(d.number(1, 46))}${d.digits(4)}`),
  BG_EGN: until('BG', 'egn', (d) => date(d, 'ymd') + d.digits(4)),
  HR_OIB: until('HR', 'oib', (d) => d.number(1, 9) + d.digits(10)),
  EE_PERSONAL_CODE: until('EE', 'ik', (d) => `${d.number(3, 4)}${date(d, 'ymd')}${d.digits(4)}`),
  LT_PERSONAL_CODE: until('LT', 'asmens', (d) => `${d.number(3, 4)}${date(d, 'ymd')}${d.digits(4)}`),
  GR_AMKA: until('GR', 'amka', (d) => date(d, 'dmy') + d.digits(5)),
  TR_IDENTITY_NUMBER: until('TR', 'tckimlik', (d) => d.number(1, 9) + d.digits(10)),
  IL_IDENTITY_NUMBER: until('IL', 'idnr', (d) => d.number(1, 3) + d.digits(8)),
  IN_AADHAAR: until('IN', 'aadhaar', (d) => `${d.number(2, 9)}${d.digits(3)} ${d.digits(4)} ${d.digits(4)}`),
  IN_PAN: until(
    'IN',
    'pan',
    (d) =>
      `${d.letters(3, UPPER)}${d.letters(1, 'P')}${d.letters(1, UPPER)}${d.number(1, 9)}${d.digits(3)}${d.letters(1, UPPER)}`,
  ),
  CN_RESIDENT_ID: until(
    'CN',
    'ric',
    (d) =>
      `110${d.pick(['101', '105', '108'])}19${d.number(50, 99)}${two(d.number(1, 12))}${two(d.number(1, 28))}${d.digits(3)}${d.pick([...'0123456789X'])}`,
  ),
  KR_RRN: until('KR', 'rrn', (d) => `${date(d, 'ymd')}-${d.number(1, 2)}${d.digits(6)}`),
  TW_NATIONAL_ID: until('TW', 'natid', (d) => `${d.letters(1, UPPER)}${d.number(1, 2)}${d.digits(8)}`),
  TH_IDENTITY_NUMBER: until(
    'TH',
    'idnr',
    (d) => `${d.number(1, 8)}-${d.digits(4)}-${d.digits(5)}-${d.digits(2)}-${d.digits(1)}`,
  ),
  ZA_IDENTITY_NUMBER: until('ZA', 'idnr', (d) => `${date(d, 'ymd')}${d.digits(4)}0${d.number(8, 8)}${d.digits(1)}`),
  AU_TFN: until('AU', 'tfn', (d) => `${d.digits(3)} ${d.digits(3)} ${d.digits(3)}`),
}
