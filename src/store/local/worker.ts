/**
 * A worker thread of the store, in one of three roles: `keeper` (checkpoints, log and cache writes, backup), `reader`
 * (administrative queries, read-only), `ledger` (durable commits). One file, so that an executable can start it from
 * an asset; it imports nothing by path at run time and knows only what `workerData` says.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { complaintOf, StoreError } from './fault.ts'
import { type KeeperOpening, openKeeper } from './keeper.ts'
import { type LedgerWriterOpening, openLedgerWriter } from './ledger-writer.ts'
import type { Alarm, Answer, Calls, Problem, Question, Role } from './link.ts'
import type { ReaderOpening } from './reader.ts'

const port = parentPort
if (port === null) throw new Error('the store worker runs as a worker thread only')
const { role, opening } = workerData as { role: Role; opening: unknown }

const describe = (error: unknown): Problem => {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof StoreError) return { message, code: error.code }
  const errcode = (error as { errcode?: unknown } | undefined)?.errcode
  return typeof errcode === 'number' ? { message, errcode } : { message }
}
const alarm = (error: unknown): void => port.postMessage({ alarm: describe(error) } satisfies Alarm)

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

const calls = await open()
port.on('message', async ({ id, call, argument }: Question) => {
  let answer: Answer
  try {
    answer = { id, value: await calls[call]?.(argument) }
  } catch (error) {
    if (complaintOf(error) === 'sync') alarm(error)
    answer = { id, problem: describe(error) }
  }
  port.postMessage(answer)
})
