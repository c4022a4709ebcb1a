/**
 * A worker thread of the store, in one of three roles: `keeper` (checkpoints, log and cache writes, backup), `reader`
 * (administrative queries, read-only), `ledger` (durable commits). One file, so that an executable can start it from
 * an asset; it imports nothing by path at run time and knows only what `workerData` says.
 */
import { workerData } from 'node:worker_threads'
import { alarm, answer } from './calls.ts'
import { type KeeperOpening, openKeeper } from './keeper.ts'
import { type LedgerWriterOpening, openLedgerWriter } from './ledger-writer.ts'
import type { Calls, Role } from './link.ts'
import type { ReaderOpening } from './reader.ts'

const { role, opening } = workerData as { role: Exclude<Role, 'program'>; opening: unknown }

async function open(): Promise<Calls> {
  switch (role) {
    case 'keeper':
      return openKeeper(opening as KeeperOpening, alarm)
    case 'ledger':
      return openLedgerWriter(opening as LedgerWriterOpening)
    case 'reader':
      // The query builder takes longer to load than the other roles take to start.
      return (await import('./reader.ts')).openReader(opening as ReaderOpening)
  }
}

answer(await open())
