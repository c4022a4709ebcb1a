/**
 * Rating history again: the reader computes what each settled call would have cost, slice by slice, and the difference
 * is appended by the ledger's one writer, as rows that belong to the time of what they correct.
 */
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import type { AdjustmentRow } from '../../core/store.ts'
import type { Price } from '../../core/usage.ts'
import type { RepriceAnswer, RepriceQuestion, RepriceSelection } from './ledger-query.ts'

export interface Repriced {
  readonly examined: number
  readonly adjusted: number
  /** By how much the sum changed, as a decimal string of dollars. */
  readonly differenceUsd: string
}

export interface RepricingParts {
  readonly compute: (question: RepriceQuestion) => Promise<RepriceAnswer>
  readonly append: (row: AdjustmentRow) => Promise<void>
  readonly now: () => number
}

export type Reprice = (selection: RepriceSelection, price: Price, actor: string) => Promise<Repriced>

/** What it returns runs one call after the other: two at once would each write the whole difference. */
export function repricing({ compute, append, now }: RepricingParts): Reprice {
  let last: Promise<unknown> = Promise.resolve()

  const once: Reprice = async (selection, price, actor) => {
    let examined = 0
    let adjusted = 0
    let difference = 0n
    for (let from: number | undefined = selection.from; from !== undefined; ) {
      const question = { ...selection, from, price, writtenAt: now(), reason: `repriced by ${actor}` }
      const answer: RepriceAnswer = await compute(question)
      await Promise.all(answer.adjustments.map(append))
      examined += answer.examined
      adjusted += answer.adjustments.length
      for (const row of answer.adjustments) difference += row.cost
      from = answer.next
    }
    return { examined, adjusted, differenceUsd: formatDollars(nanoUsdOf(difference)) }
  }

  return (selection, price, actor) => {
    const result = last.then(() => once(selection, price, actor))
    last = result.catch(() => {})
    return result
  }
}
