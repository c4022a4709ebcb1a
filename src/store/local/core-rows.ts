/**
 * Core's append-only tables as a module's program reads them: in the order of their numbers, in the names that records
 * use, money and 64-bit numbers as text. Read-only connections of their own; no statement keeps a transaction open.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { CoreRow, CoreRows, CoreSource } from '../../core/program.ts'
import { connect } from './database.ts'
import { databasePath } from './files.ts'

const BUSY_MS = 1_000

const AFTER = {
  revisions: `SELECT id AS row, at, actor, action, before, after, context
    FROM revisions WHERE id > ? ORDER BY id LIMIT ?`,
  directory: `SELECT id AS row, at, actor, action, object, before, after, context
    FROM directory_changes WHERE id > ? ORDER BY id LIMIT ?`,
  ledger: `SELECT seq AS row, kind, CAST(attempt AS TEXT) AS attempt, at, exchange, revision, principal, organization, team,
      user, end_user AS endUser, tags, model, upstream, provider, upstream_model AS upstreamModel, CAST(held AS TEXT) AS held,
      input, cache_read AS cacheRead, cache_write_5m AS cacheWrite5m, cache_write_1h AS cacheWrite1h, output, reasoning,
      image_input AS imageInput, image_output AS imageOutput, audio_input AS audioInput, audio_output AS audioOutput,
      calls, CAST(cost AS TEXT) AS cost, price_version AS priceVersion, usage_source AS usageSource, outcome, status,
      reason, served_model AS servedModel, upstream_request_id AS upstreamRequestId, written_at AS writtenAt, service_tier AS serviceTier,
      CAST(charge AS TEXT) AS charge, terms
    FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?`,
} as const satisfies Record<CoreSource, string>

const NEWEST = {
  revisions: 'SELECT coalesce(max(id), 0) AS row FROM revisions',
  directory: 'SELECT coalesce(max(id), 0) AS row FROM directory_changes',
  ledger: 'SELECT coalesce(max(seq), 0) AS row FROM ledger',
} as const satisfies Record<CoreSource, string>

export function coreRows(dataDir: string): CoreRows & { close(): void } {
  const open = (name: 'stockyard' | 'ledger'): DatabaseSync =>
    connect({ path: databasePath(dataDir, name), readOnly: true, busyMs: BUSY_MS })
  const stockyard = open('stockyard')
  const ledger = open('ledger')
  const of = (source: CoreSource): DatabaseSync => (source === 'ledger' ? ledger : stockyard)
  const prepared = new Map<string, StatementSync>()
  const statement = (source: CoreSource, texts: Readonly<Record<CoreSource, string>>): StatementSync => {
    const key = texts[source]
    let found = prepared.get(key)
    if (found === undefined) {
      found = of(source).prepare(key)
      prepared.set(key, found)
    }
    return found
  }
  return {
    after: (source, row, limit) => statement(source, AFTER).all(row, limit) as unknown as CoreRow[],
    newest: (source) => statement(source, NEWEST).get()?.row as number,
    close() {
      stockyard.close()
      ledger.close()
    },
  }
}
