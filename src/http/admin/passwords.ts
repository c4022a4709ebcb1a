/**
 * Passwords of people who administer: scrypt, a few at a time, and for an address that nobody has the same work, so that
 * time does not tell who exists.
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import type { JsonObject } from '../../core/request.ts'

const COST = { N: 2 ** 15, r: 8, p: 1 } as const
const LENGTH = 32
const AT_ONCE = 2

interface PasswordProof extends JsonObject {
  readonly salt: string
  readonly hash: string
  readonly N: number
  readonly r: number
  readonly p: number
}

let running = 0
const waiting: (() => void)[] = []

async function derive(password: string, salt: Buffer, cost: { N: number; r: number; p: number }): Promise<Buffer> {
  if (running >= AT_ONCE) await new Promise<void>((go) => waiting.push(go))
  running++
  try {
    return await new Promise((resolve, reject) => {
      const options = { ...cost, maxmem: 256 * cost.N * cost.r }
      // Written in different ways on different keyboards, it is the same password.
      scrypt(password.normalize('NFKC'), salt, LENGTH, options, (error, hash) =>
        error ? reject(error) : resolve(hash),
      )
    })
  } finally {
    running--
    waiting.shift()?.()
  }
}

export async function passwordProof(password: string): Promise<JsonObject> {
  const salt = randomBytes(16)
  const hash = await derive(password, salt, COST)
  return { salt: salt.toString('base64url'), hash: hash.toString('base64url'), ...COST }
}

/** How many wait for their turn; who comes later should come back instead. */
export const passwordsWaiting = (): number => waiting.length

export async function isPassword(password: string, proof: JsonObject | undefined): Promise<boolean> {
  const { salt, hash, N, r, p } = (typeof proof?.salt === 'string' ? proof : NOBODY) as PasswordProof
  const derived = await derive(password, Buffer.from(salt, 'base64url'), { N, r, p })
  return timingSafeEqual(derived, Buffer.from(hash, 'base64url')) && proof !== undefined
}

const NOBODY: PasswordProof = {
  salt: randomBytes(16).toString('base64url'),
  hash: randomBytes(LENGTH).toString('base64url'),
  ...COST,
}
