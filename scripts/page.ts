/** What every generated page of docs/ has in common: it is written, or with `--check` only compared. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

/** `page` and `script` are paths from the project's root. */
export function writeOrCheck(page: string, text: string, script: string): void {
  const path = resolve(import.meta.dirname, '..', page)
  const isFresh = existsSync(path) && readFileSync(path, 'utf8') === text
  if (isFresh) return
  if (process.argv.includes('--check')) {
    console.error(`${page} is not what ${script} writes; run: npm exec -- node ${script}`)
    process.exitCode = 1
  } else {
    writeFileSync(path, text)
    console.log(`wrote ${page}`)
  }
}

/** A cell of a Markdown table. */
export const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
