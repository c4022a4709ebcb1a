/** `stockyard import litellm <file>`: another gateway's configuration as a `stockyard.yaml`. Nobody is called. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { LineCounter, parseDocument, stringify } from 'yaml'
import { createCatalog } from '../../catalog/catalog.ts'
import { parseStrict } from '../../core/settings.ts'
import { File } from '../../http/admin/schemas.ts'
import { providers } from '../../providers/index.ts'
import { fail } from '../words.ts'
import { fromLiteLLM } from './litellm.ts'
import { quoted, reportText } from './report.ts'

interface Flags {
  readonly write?: string
  readonly json?: boolean
}

export function importCommand(stockyard: Command): void {
  const from = stockyard.command('import').description("make a configuration file of another gateway's")
  from
    .command('litellm <file>')
    .description("of LiteLLM's config.yaml; what cannot be carried over is said, with the reason")
    .option('--write <file>', 'write it there; a file that exists is left as it is')
    .option('--json', 'the file and what is to be said about it, as JSON')
    .action((path: string, { write, json }: Flags) => {
      const { file, report } = fromLiteLLM(read(path), {
        providers,
        catalog: createCatalog(),
        environment: process.env,
      })
      parseStrict(File, file)
      const text = Object.keys(file).length === 0 ? '{}\n' : stringify(file, { aliasDuplicateObjects: false })
      if (write !== undefined) create(write, text)
      const apply = {
        what: `stockyard config apply ${quoted(write ?? 'stockyard.yaml')}`,
        why: 'config plan shows what it would change',
      }
      const said = { ...report, after: [apply, ...report.after] }
      if (json) console.log(JSON.stringify({ file, ...report }, null, 2))
      else if (write === undefined) {
        // The file alone on standard output, so that it can be sent into one.
        process.stdout.write(text)
        console.error(reportText(said))
      } else console.log(`${write} is written.\n\n${reportText(said)}`)
    })
}

function read(path: string): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    fail(`${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`)
  }
  // The parser's own words quote the file, and with it the secrets in it.
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { prettyErrors: false, merge: true, lineCounter, logLevel: 'error' })
  const [wrong] = document.errors
  if (wrong) {
    const { line, col } = lineCounter.linePos(wrong.pos[0])
    fail(`${path} is not YAML: ${wrong.code} at line ${line}, column ${col}.`)
  }
  try {
    return document.toJS()
  } catch {
    return fail(`${path} cannot be read: it refers to itself more often than a configuration would.`)
  }
}

function create(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx' })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    fail(code === 'EEXIST' ? `${path} exists; it is left as it is.` : `${path} cannot be written (${code}).`)
  }
}
