/**
 * Reading somebody else's configuration so that nothing gets lost: each field is either taken, or left, and what is left can
 * be named. Values come from YAML that people write by hand, so numbers and switches are also taken as text.
 */
export type Row = Readonly<Record<string, unknown>>

export interface Fields {
  /** Where it stands, for people: `router_settings`, `model_list[2] (gpt-4o)`. */
  readonly at: string
  /** Null is as good as not there. */
  take(name: string): unknown
  text(name: string): string | undefined
  number(name: string): number | undefined
  /** Names that nobody took. */
  left(): readonly string[]
}

export const rowOf = (value: unknown): Row | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Row) : undefined
export const listOf = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? value : value === undefined ? [] : [value]
export const textsOf = (value: unknown): string[] => listOf(value).filter((each) => typeof each === 'string')
export const isOn = (value: unknown): boolean =>
  value === true || (typeof value === 'string' && /^(?:true|yes|on)$/i.test(value))

/** The variable that `os.environ/NAME` stands for. */
export const variableOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? /^os\.environ\/\s*(\w+)\s*$/.exec(value)?.[1] : undefined

export function fieldsOf(at: string, value: unknown): Fields {
  const row = rowOf(value) ?? {}
  const taken = new Set<string>()
  const take = (name: string): unknown => {
    taken.add(name)
    return Object.hasOwn(row, name) ? (row[name] ?? undefined) : undefined
  }
  return {
    at,
    take,
    text(name) {
      const found = take(name)
      return typeof found === 'string' && found !== '' ? found : typeof found === 'number' ? String(found) : undefined
    },
    number(name) {
      const found = take(name)
      const read = typeof found === 'string' && found.trim() !== '' ? Number(found) : found
      return typeof read === 'number' && Number.isFinite(read) && read >= 0 ? read : undefined
    },
    left: () => Object.keys(row).filter((name) => !taken.has(name) && row[name] !== null),
  }
}
