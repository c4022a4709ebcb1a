/** A trail in a temporary directory, written by its own program in this thread, and its exports: for tests only. */
import type { TestContext } from 'node:test'
import type { Host } from '../../src/core/module.ts'
import type { SqlValue } from '../../src/core/store.ts'
import { askFrame, csvLines, jsonLines } from '../../src/modules/audit/export.ts'
import { audit } from '../../src/modules/audit/program.ts'
import { type Draft, seal } from '../../src/modules/audit/record.ts'
import { tables } from '../../src/modules/audit/tables.ts'
import type { Status } from '../../src/modules/audit/trail.ts'
import { connect } from '../../src/store/local/database.ts'
import type { LocalStore } from '../../src/store/local/index.ts'
import { openBench } from '../../src/store/local/program.ts'
import { atEnd, scratchDirectory, scratchStore } from '../../src/store/local/scratch.ts'
import { Statements } from '../../src/store/local/statements.ts'

export interface Log {
  readonly dataDir: string
  readonly store: LocalStore
  readonly status: Status
  /** A call of the worker thread's program. */
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  call(name: string, argument?: unknown): any
  add(drafts: readonly Draft[]): void
  /** The lines of an export, without their ends. */
  lines(options?: { organization?: string; filters?: object; continues?: number; csv?: boolean }): Promise<string[]>
  /** Closes it and opens it again, as a new start would; `between` may do as it likes to the files. */
  reopen(between?: () => void): Status
  /** The program alone starts anew, over files that stay open. */
  again(): void
}

export const DAY_MS = 86_400_000
/** When the clock of these tests stands still. */
export const NOW = Date.parse('2026-11-24T12:00:00Z')

export const draft = (i: number, more: Partial<Draft> = {}): Draft => ({
  at: NOW + i,
  kind: 'exchange',
  exchange: `req_${i}`,
  facts: { principal: 'p', model: `model-${i % 7}`, outcome: 'done', cost: String(i * 1_000) },
  ...more,
})

export async function openLog(t: TestContext, dataDir: string = scratchDirectory(t)): Promise<Log> {
  const all = { audit: tables }
  const store = await scratchStore(t, dataDir, { tables: all })
  let bench = openBench({ dataDir, module: 'audit', tables: all })
  let calls = audit.start(bench)
  let db = connect({ path: `${dataDir}/audit.db`, readOnly: true, busyMs: 1_000 })
  let statements = new Statements(all, () => db)
  atEnd(t, () => {
    bench.close()
    db.close()
  })
  const call = (name: string, argument?: unknown): unknown => calls[name]?.(argument)
  const open = (): Status => {
    call('open', { origin: 'test', now: NOW })
    call('compare', { kept: [], now: NOW })
    return call('status') as Status
  }
  open()
  const host = {
    now: () => NOW,
    worker: { call: async (name: string, argument: unknown) => call(name, argument) },
    tables: {
      query: async (statement: string, parameters: Record<string, SqlValue>) =>
        statements.query({ module: 'audit', statement, parameters }),
    },
  } as unknown as Host
  return {
    dataDir,
    store,
    get status() {
      return call('status') as Status
    },
    call,
    add(drafts) {
      call('append', { records: drafts.map(seal), salts: [] })
    },
    async lines({ organization, filters, continues, csv } = {}) {
      const none = { since: null, until: null, kind: null, exchange: null, actor: null, action: null, object: null }
      const asked = { organization, continues, filters: filters ? { ...none, ...filters } : undefined }
      const frame = await askFrame(host, asked)
      if (frame === undefined) throw new Error(`no tree of ${organization}`)
      let text = ''
      for await (const part of (csv ? csvLines : jsonLines)(host, asked, frame)) text += part
      return text.split(csv ? '\r\n' : '\n').slice(0, -1)
    },
    reopen(between) {
      bench.close()
      db.close()
      between?.()
      bench = openBench({ dataDir, module: 'audit', tables: all })
      calls = audit.start(bench)
      db = connect({ path: `${dataDir}/audit.db`, readOnly: true, busyMs: 1_000 })
      statements = new Statements(all, () => db)
      return open()
    },
    again() {
      calls = audit.start(bench)
      call('open', { origin: 'test', now: NOW })
    },
  }
}

/** A generator of numbers below `n` that gives the same every time. */
export function random(seed: number): (n: number) => number {
  let state = seed
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
}
