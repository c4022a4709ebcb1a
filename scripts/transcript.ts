/**
 * The transcripts in examples/: their commands are run in a real shell against a real gateway, and what they print is what
 * the page must say. `npm exec -- node scripts/transcript.ts` writes the page anew; the test compares.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { freePort } from './free-port.ts'

const root = resolve(import.meta.dirname, '..')
export const TRANSCRIPTS = ['examples/from-proxy-to-gateway.md'] as const
/** What a page says; while it runs, free ports stand for them. */
const PORTS = ['4200', '4300'] as const
const LONGEST_MS = 120_000
const OVER = '::over::'

/** What differs from run to run, and what the page says instead. */
const VOLATILE: readonly [RegExp, string][] = [
  [/sk-sy-admin_[\w-]{32}/g, 'sk-sy-admin_…'],
  [/sk-sy-\w{12}_\w{46}/g, 'sk-sy-…'],
  [/req_\w{14,}/g, 'req_…'],
  // Of the same length, so that the columns of tables stay where they are.
  [/^[0-9A-Za-z]{12}(?= {2})|(?<=\bkey )[0-9A-Za-z]{12}\b/gm, 'Ab3dEf6hIj9k'],
  [/^[0-9A-Za-z]{10}(?= {2})|(?<=\b(?:limit |budget |limit":"|budget":"))[0-9A-Za-z]{10}\b/gm, 'Qm7xK2pR4t'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '2026-11-24T12:00:00.000Z'],
  [/^(retry-after: )\d+/gim, '$1…'],
  [/(again in )[\d.]+ m?s/g, '$1… s'],
]

/** One shell for the whole page, so that what is exported and what runs in the background stays. */
function openShell(home: string, port: string) {
  const bin = join(home, 'stockyard')
  writeFileSync(bin, `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'scripts/start.mjs')}' "$@"\n`, {
    mode: 0o755,
  })
  const shell = spawn('sh', [], {
    cwd: home,
    // Nothing of whoever runs this: no key, no proxy, no other gateway. Of its own group, so that it ends with all it began.
    env: {
      PATH: `${home}:${process.env.PATH}`,
      HOME: home,
      NO_COLOR: '1',
      STOCKYARD_PORT: port,
      STOCKYARD_URL: `http://127.0.0.1:${port}`,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  let said = ''
  let heard = (): void => {}
  for (const stream of [shell.stdout, shell.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
      heard()
    })
  }
  const run = (command: string): Promise<string> =>
    new Promise((done, failed) => {
      said = ''
      const late = setTimeout(
        () => failed(new Error(`${command}\nsaid after ${LONGEST_MS} ms no more than\n${said}`)),
        LONGEST_MS,
      )
      heard = () => {
        const end = said.indexOf(OVER)
        if (end < 0) return
        clearTimeout(late)
        done(said.slice(0, end))
      }
      shell.stdin.write(`${command}\n{ echo '${OVER}'; } 2>&1\n`)
    })
  return {
    run,
    async close() {
      const { pid } = shell
      if (pid === undefined) return
      const alive = (signal: NodeJS.Signals | 0): boolean => {
        try {
          return process.kill(-pid, signal)
        } catch {
          return false
        }
      }
      alive('SIGTERM')
      for (let n = 0; n < 200 && alive(0); n++) await new Promise((again) => setTimeout(again, 50))
      alive('SIGKILL')
    },
  }
}

/** The page, each command followed by what it printed just now. */
export async function performed(page: string): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'stockyard-transcript-'))
  const ports = new Map<string, string>()
  for (const port of PORTS) ports.set(port, String(await freePort()))
  const pages = new Map([...ports].map(([page, real]) => [real, page]))
  const withPorts = (text: string, table: ReadonlyMap<string, string>): string =>
    text.replace(/(?<=127\.0\.0\.1:|--port )\d{4,5}\b/g, (port) => table.get(port) ?? port)
  const shell = openShell(home, ports.get(PORTS[0]) as string)
  try {
    const out: string[] = []
    let inside = false
    let command: string | undefined
    const finish = async (): Promise<void> => {
      if (command === undefined) return
      const printed = withPorts(await shell.run(withPorts(command, ports)), pages).replaceAll(home, '~')
      const text = VOLATILE.reduce((all, [what, instead]) => all.replace(what, instead), printed).trimEnd()
      if (text) out.push(...text.split('\n').map((line) => line.trimEnd()))
      command = undefined
    }
    for (const line of page.split('\n')) {
      if (line.startsWith('```')) {
        await finish()
        inside = line === '```console'
        out.push(line)
      } else if (!inside) out.push(line)
      else if (line.startsWith('$ ')) {
        await finish()
        command = line.slice(2)
        out.push(line)
      } else if (line.startsWith('> ')) {
        command += `\n${line.slice(2)}`
        out.push(line)
      }
    }
    return out.join('\n')
  } finally {
    await shell.close()
    rmSync(home, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename) {
  for (const path of TRANSCRIPTS) {
    const file = join(root, path)
    writeFileSync(file, await performed(readFileSync(file, 'utf8')))
    console.log(`wrote ${path}`)
  }
}
