/** A store in a temporary directory, and ledger rows to put in it: for tests only. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Log } from '../../core/module.ts'
import { nanoUsdOf } from '../../core/money.ts'
import type { ClosedRow, HitRow, LedgerScope, OpenedRow } from '../../core/store.ts'
import { type LocalStore, openStore, type StoreOptions } from './index.ts'

export const WORKER_URL = new URL('./worker.ts', import.meta.url)

const UNDO = new WeakMap<TestContext, (() => unknown)[]>()

/** Runs when the test ends, the last one asked for first: what was built last stands on the rest. */
export function atEnd(t: TestContext, undo: () => unknown): void {
  const known = UNDO.get(t)
  if (known !== undefined) {
    known.push(undo)
    return
  }
  const all = [undo]
  UNDO.set(t, all)
  t.after(async () => {
    for (const one of all.reverse()) await one()
  })
}

export function scratchDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'stockyard-store-'))
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export interface KeptLog extends Log {
  readonly lines: string[]
}

/** Keeps what was said, as `level message`. */
export function keptLog(): KeptLog {
  const lines: string[] = []
  const keep = (level: string) => (message: string) => void lines.push(`${level} ${message}`)
  return { lines, debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') }
}

/** Closed when the test ends, if the test did not. Without a ballast, unless asked for. */
export async function scratchStore(
  t: TestContext,
  dataDir: string,
  options: Partial<StoreOptions> = {},
): Promise<LocalStore> {
  const store = await openStore({
    dataDir,
    log: keptLog(),
    tables: {},
    workerUrl: WORKER_URL,
    ballastBytes: 0,
    masterKey: '00'.repeat(32),
    ...options,
  })
  atEnd(t, () => store.close())
  return store
}

export const SCOPE: LedgerScope = {
  exchange: 'x1',
  revision: 1,
  principal: 'local',
  model: 'fast',
  upstream: 'acme-eu',
  provider: 'vendor',
  upstreamModel: 'model-1',
}

export const openedRow = (attempt: number, more: Partial<OpenedRow> = {}): OpenedRow => ({
  ...SCOPE,
  kind: 'opened',
  attempt,
  at: 1_000,
  held: nanoUsdOf(500),
  ...more,
})
export const closedRow = (attempt: number, more: Partial<ClosedRow> = {}): ClosedRow => ({
  ...SCOPE,
  kind: 'closed',
  attempt,
  at: 2_000,
  usage: { source: 'provider', input: 10, output: 5 },
  cost: nanoUsdOf(70),
  priceVersion: 'table:1',
  outcome: 'done',
  status: 200,
  ...more,
})
export const hitRow = (attempt: number, more: Partial<HitRow> = {}): HitRow => ({
  ...SCOPE,
  kind: 'hit',
  attempt,
  at: 2_000,
  usage: { source: 'provider', input: 10, output: 5 },
  ...more,
})

/** For what follows by itself, however busy the machine is. */
export async function eventually(holds: () => boolean | Promise<boolean>, mostMs = 30_000): Promise<void> {
  const end = performance.now() + mostMs
  while (!(await holds())) {
    assert.ok(performance.now() < end, `not within ${mostMs} ms: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
