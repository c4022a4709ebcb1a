/** Wallets: Bitcoin and its kin with their checksums, Ethereum by its length. */
import { createHash } from 'node:crypto'
import type { Detector } from '../detector.ts'

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

/** Twenty-one bytes and the first four of their double hash. */
function base58Checked(text: string): boolean {
  let number = 0n
  for (const char of text) number = number * 58n + BigInt(BASE58.indexOf(char))
  const hex = number.toString(16).padStart(50, '0')
  if (hex.length !== 50) return false
  const bytes = Buffer.from(hex, 'hex')
  return sha256(sha256(bytes.subarray(0, 21)))
    .subarray(0, 4)
    .equals(bytes.subarray(21))
}

export const wallet: Detector = {
  entity: 'CRYPTO_ADDRESS',
  at: 'either',
  digits: 1,
  pattern: /(?<![\w/+=-])[13LMDT][1-9A-HJ-NP-Za-km-z]{25,33}(?![\w/+=-])/g,
  check: base58Checked,
  certainty: 8,
}

const BECH32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const GENERATORS = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]

/** BIP 173 and its successor, BIP 350. */
function bech32(text: string): boolean {
  const lower = text.toLowerCase()
  const at = lower.lastIndexOf('1')
  const prefix = [...lower.slice(0, at)].map((c) => c.charCodeAt(0))
  const values = [...prefix.map((c) => c >> 5), 0, ...prefix.map((c) => c & 31)]
  for (const char of lower.slice(at + 1)) values.push(BECH32.indexOf(char))
  let sum = 1
  for (const value of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (let i = 0; i < 5; i++) if ((top >> i) & 1) sum ^= GENERATORS[i] as number
  }
  return sum === 1 || sum === 0x2bc830a3
}

export const walletBech32: Detector = {
  entity: 'CRYPTO_ADDRESS',
  needs: /(?:bc|ltc)1/i,
  pattern: /(?<!\w)(?:bc|ltc)1[02-9ac-hj-np-z]{11,71}(?!\w)/gi,
  check: bech32,
  certainty: 8,
}

export const walletEthereum: Detector = {
  entity: 'CRYPTO_ADDRESS',
  needs: '0x',
  pattern: /(?<!\w)0x[0-9a-fA-F]{40}(?!\w)/g,
  certainty: 8,
}
