/** What the tests of the docs read out of a Markdown page: its fenced code and its links. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')
export const readPage = (path: string): string => readFileSync(resolve(root, path), 'utf8')

export interface Fence {
  readonly language: string
  /** What follows the language on the opening line: a file's path. */
  readonly info: string
  readonly text: string
  /** Line of the opening fence, from 1. */
  readonly line: number
}

export function fencesOf(page: string): Fence[] {
  const fences: Fence[] = []
  let open: { language: string; info: string; line: number; lines: string[] } | undefined
  for (const [i, line] of page.split('\n').entries()) {
    const mark = /^```(\w*)\s*(.*)$/.exec(line)
    if (open && mark) {
      fences.push({ language: open.language, info: open.info, line: open.line, text: open.lines.join('\n') })
      open = undefined
    } else if (open) open.lines.push(line)
    else if (mark) open = { language: mark[1] ?? '', info: mark[2] ?? '', line: i + 1, lines: [] }
  }
  return fences
}

/** Targets of links that stay inside the project, without the part after `#`. */
export function ownLinksOf(page: string): string[] {
  return [...page.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => (match[1] as string).replace(/#.*$/, ''))
    .filter((target) => target !== '' && !/^[a-z]+:/.test(target))
}

/** As the tests of GitHub name a heading in a link: lower case, words joined by dashes. */
export function anchorsOf(page: string): string[] {
  return [...page.matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] as string)
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .trim()
      .replace(/\s/g, '-'),
  )
}
