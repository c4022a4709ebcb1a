/** Reading and proving: a page of records, exports, proofs, checkpoints, and forgetting salts. Nobody edits. */
import { Type } from 'typebox'
import { badRequest, failure } from '../../core/errors.ts'
import { type AdminCall, type AdminRoute, Download, type Host } from '../../core/module.ts'
import type { JsonObject } from '../../core/request.ts'
import { type Actor, INSTANCE, may } from '../../core/roles.ts'
import type { SqlValue } from '../../core/store.ts'
import { anchorStates } from './anchors.ts'
import { commitment } from './exchanges.ts'
import { type Asked, askFrame, csvLines, jsonLines } from './export.ts'
import type { Frame } from './frame.ts'
import type { ProofAnswer } from './program.ts'
import { Recorder } from './recorder.ts'
import type { Step } from './trail.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))
const closed = { additionalProperties: false }
const anything = Type.Object({}, { additionalProperties: true })

const ListQuery = Type.Object(
  {
    since: text('ISO time'),
    until: text('ISO time'),
    kind: text('configuration, directory, ledger, exchange, decision, intent, administration, audit or head.'),
    actor: text('Who administered, or the principal of an exchange.'),
    action: text('May hold * and ?.'),
    object: text('May hold * and ?.'),
    organization: text('Of an export: the tree; of a page: only these records.'),
    exchange: text('A request id.'),
    cursor: text('From the page before.'),
    limit: text('At most 500; default 100.'),
    format: text('`jsonl` or `csv`: an export with checkpoint and proofs, of one tree.'),
    continues: text('Of an export: the size of a checkpoint that it is to be shown to continue.'),
  },
  closed,
)
const Content = Type.Object({ request: Type.Optional(Type.String()), reply: Type.Optional(Type.String()) }, closed)

const FILTERS = ['since', 'until', 'kind', 'actor', 'action', 'object', 'exchange'] as const

function whole(asked: Readonly<Record<string, unknown>>, name: string, what = 'a number'): number | undefined {
  const given = asked[name]
  if (given === undefined) return undefined
  if (typeof given !== 'string' || !/^\d{1,15}$/.test(given)) throw badRequest(`"${name}" is not ${what}`, name)
  return Number(given)
}
function moment(asked: Readonly<Record<string, unknown>>, name: string): number | null {
  if (asked[name] === undefined) return null
  const at = Date.parse(String(asked[name]))
  if (Number.isNaN(at)) throw badRequest(`"${name}" is not a time`, name)
  return at
}

function filtersOf(asked: Readonly<Record<string, unknown>>): Record<string, SqlValue> {
  const filters: Record<string, SqlValue> = { since: moment(asked, 'since'), until: moment(asked, 'until') }
  for (const name of ['kind', 'actor', 'action', 'object', 'exchange']) filters[name] = (asked[name] as string) ?? null
  return filters
}

async function page(host: Host, asked: Readonly<Record<string, unknown>>) {
  const limit = Math.min(500, Math.max(1, whole(asked, 'limit') ?? 100))
  const rows = await host.tables.query('list', {
    ...filtersOf(asked),
    organization: (asked.organization as string | undefined) ?? null,
    before: whole(asked, 'cursor') ?? null,
    limit,
  })
  const last = rows.at(-1)
  return {
    records: rows.map(({ record }) => JSON.parse(String(record)) as JsonObject),
    cursor: rows.length === limit && last ? String(last.seq) : null,
  }
}

/** What is not there is an answer; that it cannot be proven is a fault. */
async function provable<T>(work: Promise<T | undefined>, what: string): Promise<T> {
  const found = await work.catch((error: Error) => {
    throw failure('module_unavailable', { module: 'audit' }, error)
  })
  if (found === undefined) throw failure('not_found', { what })
  return found
}

/** An export is itself a record. */
async function download(host: Host, { query, actor }: AdminCall): Promise<Download> {
  const { format } = query
  if (format !== 'jsonl' && format !== 'csv') throw badRequest('"format" is jsonl or csv', 'format')
  const filtered = FILTERS.some((name) => query[name] !== undefined)
  const asked: Asked = {
    organization: query.organization as string | undefined,
    continues: whole(query, 'continues'),
    filters: filtered ? filtersOf(query) : undefined,
  }
  const object = asked.organization === undefined ? 'audit' : `audit of ${asked.organization}`
  const filters = Object.fromEntries(
    FILTERS.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]]])),
  )
  const facts = { actor, action: 'audit.export', object, format, filters } as JsonObject
  await Recorder.of(host).take({ at: host.now(), kind: 'administration', facts })
  const frame = await provable<Frame>(askFrame(host, asked), `audit tree of "${asked.organization}"`)
  const name = `audit-${frame.size}.${format}`
  return format === 'csv'
    ? new Download('text/csv; charset=utf-8', name, csvLines(host, asked, frame))
    : new Download('application/jsonl; charset=utf-8', name, jsonLines(host, asked, frame))
}

/** Auditors of the instance read everything, those of an organization its own tree. Nobody edits. */
function mustRead(who: Actor, organization: string | undefined): void {
  if (may(who, 'audit', INSTANCE) || (organization !== undefined && may(who, 'audit', { organization }))) return
  throw failure('permission_denied', {
    problem: 'Your role does not show this part of the audit trail; name an organization in which you audit.',
  })
}

const seqOf = ({ params }: AdminCall): number => whole(params, 'seq') ?? 0

export const admin: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: 'audit',
    needs: 'signed-in',
    summary: 'The newest records that match; or, with `format`, an export that can be verified offline.',
    query: ListQuery,
    answer: anything,
    example: {
      records: [{ seq: '7', kind: 'configuration', actor: 'admin', action: 'modules/cache change' }],
      cursor: null,
    },
    handle(host, call) {
      mustRead(call.who, call.query.organization as string | undefined)
      return call.query.format === undefined ? page(host, call.query) : download(host, call)
    },
  },
  {
    method: 'GET',
    path: 'audit/status',
    needs: 'audit',
    summary: 'How far the trail is, its newest checkpoint, its anchors, and what keeps it from being extended.',
    answer: anything,
    example: { size: 12, behind: 0, halted: null, anchors: [] },
    handle(host) {
      const recorder = Recorder.of(host)
      const { halted = null, more: _, ...status } = (recorder.status ?? {}) as Partial<Step>
      const problem = recorder.problem ?? null
      return { ...status, halted, problem, dropped: recorder.dropped, anchors: anchorStates(host) }
    },
  },
  {
    method: 'GET',
    path: 'audit/checkpoint',
    needs: 'signed-in',
    summary: 'A fresh checkpoint, and the public keys that vouch for it, the first one first.',
    answer: anything,
    example: { checkpoint: 'stockyard/…\n12\n…', epochs: [{ key: 'stockyard/…+…+…', from: 0 }] },
    handle: (host) =>
      provable(askFrame(host, { organization: undefined, continues: undefined, filters: undefined }), 'checkpoint'),
  },
  {
    method: 'GET',
    path: 'audit/consistency',
    needs: 'signed-in',
    summary: 'That the log of one size is the beginning of the log of another.',
    query: Type.Object({ from: Type.String(), to: text('Absent: the newest.') }, closed),
    answer: anything,
    example: { from: 3, to: 12, proof: ['…'] },
    handle: (host, { query }) => {
      const sizes = { from: whole(query, 'from') ?? 0, to: whole(query, 'to') }
      return provable(
        host.worker.call<object | undefined>('consistency', { ...sizes, now: host.now() }),
        'log of these sizes',
      )
    },
  },
  {
    method: 'GET',
    path: 'audit/:seq/proof',
    needs: 'signed-in',
    summary: 'One record, the proof that it is in the log, and the checkpoint that the proof leads to.',
    answer: anything,
    example: { leaf: 7, record: { seq: '7' }, proof: ['…'], frame: { checkpoint: '…' } },
    async handle(host, call) {
      const seq = seqOf(call)
      const asked = host.worker.call<ProofAnswer | undefined>('proof', { seq, now: host.now() })
      const found = await provable(asked, `audit record ${seq}`)
      mustRead(call.who, found.frame.organization ?? undefined)
      const salt = await host.worker.call<Uint8Array | undefined>('salt', { seq })
      return salt === undefined ? found : { ...found, salt: Buffer.from(salt).toString('base64') }
    },
  },
  {
    method: 'POST',
    path: 'audit/:seq/content',
    needs: 'audit',
    summary: 'Whether these texts are the request and the reply that a record committed to.',
    body: Content,
    answer: anything,
    example: { request: '{"model":"…"}' },
    async handle(host, call) {
      const seq = seqOf(call)
      const body = (call.body ?? {}) as { request?: string; reply?: string }
      const salt = await host.worker.call<Uint8Array | undefined>('salt', { seq })
      const [row] = await host.tables.query('recordOf', { seq })
      if (row === undefined) throw failure('not_found', { what: `audit record ${seq}` })
      if (salt === undefined)
        throw failure('not_found', { what: `salt of audit record ${seq}: there was no commitment, or it was erased` })
      const record = JSON.parse(String(row.record)) as Record<string, { commitment?: string } | undefined>
      const answer: Record<string, boolean> = {}
      for (const part of ['request', 'reply'] as const) {
        const given = body[part]
        if (given !== undefined) answer[part] = commitment(salt, part, given) === record[part]?.commitment
      }
      return answer
    },
  },
]
