/**
 * An export: one tree's records as lines of JSON or CSV that a verifier needs nothing else for. The first line of JSON is the
 * frame (checkpoint, keys, head); each record comes with its leaf's hash, so that whoever changes one is named by its number.
 * A whole tree proves itself by its root; where a filter left something out, each record carries its own proof.
 */
import type { Host } from '../../core/module.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import type { SqlValue } from '../../core/store.ts'
import { canonical } from './canonical.ts'
import type { Frame } from './frame.ts'

export const FORMAT = 'stockyard-audit/1'
const ROWS_PER_PAGE = 500

export interface Asked {
  readonly organization: string | undefined
  /** The size of a checkpoint that the export is to be shown to continue. */
  readonly continues: number | undefined
  /** Absent: everything. Null values let everything pass. */
  readonly filters: Readonly<Record<string, SqlValue>> | undefined
}

export interface Line {
  readonly leaf: number
  readonly hash: string
  readonly record: string
  readonly proof?: readonly string[]
}

/** Undefined if there is no such tree. */
export async function askFrame(host: Host, { organization, continues }: Asked): Promise<Frame | undefined> {
  return host.worker.call<Frame | undefined>('frame', {
    now: host.now(),
    ...(organization === undefined ? {} : { organization }),
    ...(continues === undefined ? {} : { from: continues }),
  })
}

/** The records of the tree up to the frame's size, in the order of their leaves. */
export async function* linesOf(host: Host, asked: Asked, frame: Frame): AsyncGenerator<Line[]> {
  const { organization, filters } = asked
  const of = organization === undefined ? {} : { organization }
  const [tree] = await host.tables.query('organizationTree', { organization: organization ?? null })
  for (let from = 0; from < frame.size; ) {
    const rows = await host.tables.query(filters ? 'filtered' : 'slice', {
      ...filters,
      tree: tree?.id ?? -1,
      from,
      to: frame.size,
      limit: ROWS_PER_PAGE,
    })
    if (rows.length === 0) break
    const leaves = rows.map(({ leaf }) => Number(leaf))
    const first = leaves[0] as number
    const last = leaves.at(-1) as number
    const hashes = filters
      ? await hashesOf(host, of, leaves)
      : Buffer.from(await host.worker.call<Uint8Array>('leaves', { ...of, from: first, to: last + 1 }))
    const paths = filters ? await host.worker.call<string[][]>('paths', { ...of, size: frame.size, leaves }) : undefined
    yield rows.map((row, i): Line => {
      const at = filters ? i : (leaves[i] as number) - first
      return {
        leaf: leaves[i] as number,
        hash: hashes.subarray(at * 32, at * 32 + 32).toString('base64'),
        record: String(row.record),
        ...(paths ? { proof: paths[i] as string[] } : {}),
      }
    })
    from = last + 1
  }
}

async function hashesOf(host: Host, of: object, leaves: readonly number[]): Promise<Buffer> {
  const parts = leaves.map((leaf) => host.worker.call<Uint8Array>('leaves', { ...of, from: leaf, to: leaf + 1 }))
  return Buffer.concat(await Promise.all(parts))
}

export async function* jsonLines(host: Host, asked: Asked, frame: Frame): AsyncGenerator<string> {
  yield `${canonical({ ...frame, format: FORMAT, whole: asked.filters === undefined } as unknown as JsonObject)}\n`
  for await (const lines of linesOf(host, asked, frame)) {
    yield lines
      .map(({ leaf, hash, record, proof }) => {
        const path = proof === undefined ? '' : `"proof":${JSON.stringify(proof)},`
        // The record is canonical already, and its place in the line keeps the line so.
        return `{"hash":"${hash}","leaf":${leaf},${path}"record":${record}}\n`
      })
      .join('')
  }
}

const COLUMNS = [
  'seq',
  'at',
  'kind',
  'organization',
  'actor',
  'principal',
  'action',
  'object',
  'outcome',
  'exchange',
] as const

/** The same for tables: the frame stands in the first row, whose other fields are empty. */
export async function* csvLines(host: Host, asked: Asked, frame: Frame): AsyncGenerator<string> {
  yield `${[...COLUMNS, 'leaf', 'hash', 'proof', 'record'].join(',')}\r\n`
  const whole = { ...frame, format: FORMAT, whole: asked.filters === undefined }
  yield `${[...COLUMNS.map(() => ''), '', '', '', cell(canonical(whole as unknown as JsonObject))].join(',')}\r\n`
  for await (const lines of linesOf(host, asked, frame)) {
    yield lines.map((line) => `${row(line)}\r\n`).join('')
  }
}

function row({ leaf, hash, record, proof }: Line): string {
  const facts = parsed(record)
  const values = COLUMNS.map((name) => safe(facts[name]))
  return [...values, String(leaf), hash, (proof ?? []).join(' '), record].map(cell).join(',')
}

function parsed(record: string): Record<string, JsonValue> {
  try {
    return JSON.parse(record) as Record<string, JsonValue>
  } catch {
    // It was tampered with; the verifier says so.
    return {}
  }
}

/** A spreadsheet takes a text that begins so for a formula. The record itself stands unchanged in its column. */
const safe = (value: JsonValue | undefined): string => {
  const text = value === undefined || value === null ? '' : typeof value === 'string' ? value : canonical(value)
  return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
}
const cell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
