/** How the commands reach a running gateway: its address, its admin key, one request, one way to say what went wrong. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { request } from 'undici'
import { parse } from 'yaml'
import { fail } from './words.ts'

export interface ClientFlags {
  readonly url: string
  readonly dataDir: string
  readonly json?: boolean
}

export async function call(flags: ClientFlags, method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await ask(flags, method, path, body)
  const text = await answer.body.text()
  const parsed = jsonOf(flags, text)
  if (answer.statusCode >= 400) {
    if (flags.json) console.log(text)
    fail(parsed.error?.message ?? `status ${answer.statusCode}`)
  }
  return parsed
}

/** An answer that is not JSON, as it comes. */
export async function download(flags: ClientFlags, path: string): Promise<AsyncIterable<Buffer>> {
  const answer = await ask(flags, 'GET', path, undefined)
  if (answer.statusCode < 400) return answer.body
  const { error } = jsonOf(flags, await answer.body.text())
  return fail(error?.message ?? `status ${answer.statusCode}`)
}

function jsonOf(flags: ClientFlags, text: string): { error?: { code: string; message: string } } {
  try {
    return text ? JSON.parse(text) : {}
  } catch {
    return fail(`what answers at ${flags.url} is no Stockyard. Name the gateway with --url.`)
  }
}

async function ask(flags: ClientFlags, method: string, path: string, body: unknown) {
  const key = process.env.STOCKYARD_ADMIN_KEY ?? keyFile(flags.dataDir)
  const url = `${flags.url.replace(/\/+$/, '')}/api/${path}`
  try {
    return await request(url, {
      method: method as 'GET',
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  } catch (error) {
    fail(`no gateway answers at ${flags.url} (${(error as Error).message}). Start it, or name it with --url.`)
  }
}

function keyFile(dataDir: string): string {
  try {
    return readFileSync(join(dataDir, 'admin.key'), 'utf8').trim()
  } catch {
    fail(`no admin key: set STOCKYARD_ADMIN_KEY, or name the data directory with --data-dir (looked in ${dataDir}).`)
  }
}

/** YAML or JSON that somebody wrote by hand. */
export function parsed(text: string, where: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    fail(`${where} is neither JSON nor YAML: ${(error as Error).message.split('\n', 1)[0]}`)
  }
}

/** Rows as a table of text; columns are the fields named. */
export function table(rows: readonly Record<string, unknown>[], columns: readonly string[]): string {
  if (rows.length === 0) return '(none)'
  const cells = rows.map((row) => columns.map((column) => shown(row[column])))
  const widths = columns.map((column, i) => Math.max(column.length, ...cells.map((c) => (c[i] ?? '').length)))
  const line = (values: readonly string[]): string =>
    values
      .map((value, i) => value.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(columns), ...cells.map(line)].join('\n')
}

const shown = (value: unknown): string =>
  value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
