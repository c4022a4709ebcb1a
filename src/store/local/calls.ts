/** A worker thread's end of a link: answers calls one after the other, and says unasked what must not wait. */
import { parentPort } from 'node:worker_threads'
import { complaintOf, StoreError } from './fault.ts'
import type { Alarm, Answer, Calls, Problem, Question } from './link.ts'

const port = () => {
  if (parentPort === null) throw new Error('the store worker runs as a worker thread only')
  return parentPort
}

const describe = (error: unknown): Problem => {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof StoreError) return { message, code: error.code }
  const errcode = (error as { errcode?: unknown } | undefined)?.errcode
  return typeof errcode === 'number' ? { message, errcode } : { message }
}

export const alarm = (error: unknown): void => port().postMessage({ alarm: describe(error) } satisfies Alarm)

export function answer(calls: Calls): void {
  port().on('message', async ({ id, call, argument }: Question) => {
    let answer: Answer
    try {
      answer = { id, value: await calls[call]?.(argument) }
    } catch (error) {
      if (complaintOf(error) === 'sync') alarm(error)
      answer = { id, problem: describe(error) }
    }
    port().postMessage(answer)
  })
}
