// Reading JSON that nobody has checked: each reader gives an empty value of its type instead of throwing,
// because a scripted provider must answer rubbish with a 4xx and never fall over it.

export type Doc = Record<string, unknown>

export const doc = (value: unknown): Doc =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Doc) : {}
export const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
export const str = (value: unknown): string => (typeof value === 'string' ? value : '')
export const whole = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) ? value : undefined

/** A number that JavaScript cannot hold (1e400) still has to reach the wire as it was written. */
export const literal = (text: string): unknown =>
  /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text)
    ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text)
    : text
