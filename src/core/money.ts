/**
 * Money is an integer number of nano-dollars (a billionth of a dollar), never a float.
 * In JSON it is a decimal string of dollars, so that no reader rounds it.
 */
declare const nanoUsd: unique symbol
/** A billionth of a US dollar. May be negative in adjustments only. */
export type NanoUsd = bigint & { readonly [nanoUsd]: true }

export const NANOS_PER_DOLLAR = 1_000_000_000n
export const ZERO = 0n as NanoUsd

export const nanoUsdOf = (n: bigint | number): NanoUsd => BigInt(n) as NanoUsd

/** "0.000123" → 123000n. Throws on anything but a plain decimal with at most nine places. */
export function parseDollars(text: string): NanoUsd {
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text)
  if (!match) throw new RangeError(`"${text}" is not an amount of dollars with at most nine decimal places`)
  const nanos = BigInt(match[2] as string) * NANOS_PER_DOLLAR + BigInt((match[3] ?? '').padEnd(9, '0'))
  return (match[1] ? -nanos : nanos) as NanoUsd
}

/** 123000n → "0.000123". Always exact, without trailing zeros. */
export function formatDollars(nanos: NanoUsd): string {
  const absolute = nanos < 0n ? -nanos : nanos
  const whole = absolute / NANOS_PER_DOLLAR
  const rest = (absolute % NANOS_PER_DOLLAR).toString().padStart(9, '0').replace(/0+$/, '')
  return `${nanos < 0n ? '-' : ''}${whole}${rest ? `.${rest}` : ''}`
}

/** Integer division rounded half away from zero: the one rounding rule of the ledger. */
export function divideRounded(numerator: bigint, denominator: bigint): bigint {
  const half = denominator / 2n
  return numerator < 0n ? -((-numerator + half) / denominator) : (numerator + half) / denominator
}
