/** What an import has to say besides the file it makes. No value of a secret is ever written here. */
export interface Note {
  /** Where it stands in what was imported. */
  readonly at: string
  readonly why: string
}
export interface Step {
  /** A command to run, or what to do. */
  readonly what: string
  readonly why: string
}

export interface Report {
  /** To be done before the file is applied: secrets do not stand in it. */
  readonly before: Step[]
  /** And then. */
  readonly after: Step[]
  /** In the file, but not the same as it was. */
  readonly differs: Note[]
  /** Not in the file. */
  readonly missing: Note[]
}

export const emptyReport = (): Report => ({ before: [], after: [], differs: [], missing: [] })

/** A word of a command line as a shell takes it. */
export const quoted = (word: string): string =>
  /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

export function reportText({ before, after, differs, missing }: Report): string {
  const steps = (title: string, all: readonly Step[]) =>
    all.length === 0 ? [] : [title, ...all.flatMap(({ what, why }) => [`  ${what}`, `      ${why}`]), '']
  const notes = (title: string, all: readonly Note[]) =>
    all.length === 0 ? [] : [title, ...all.map(({ at, why }) => `  ${at}: ${why}`), '']
  return [
    ...steps('Before the file is applied:', before),
    ...steps('Then:', after),
    ...notes('In the file, and not quite the same:', differs),
    ...notes('Not carried over:', missing),
  ].join('\n')
}
