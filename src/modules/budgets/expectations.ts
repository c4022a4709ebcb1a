/** How long answers used to be, by the public name of the model: what `reserve: "expected"` holds. */
const WEIGHT = 1 / 16
/** Before so many answers were seen, the worst case is expected. */
const FEWEST = 8
/** Answers are scattered around their mean; a hold that is too small is made larger while the answer runs. */
const MARGIN = 1.5
const MOST_MODELS = 10_000

export class Expectations {
  readonly #seen = new Map<string, { mean: number; count: number }>()

  learn(model: string, outputTokens: number): void {
    const known = this.#seen.get(model)
    if (!known) {
      if (this.#seen.size >= MOST_MODELS) this.#seen.clear()
      this.#seen.set(model, { mean: outputTokens, count: 1 })
      return
    }
    known.count++
    known.mean += (outputTokens - known.mean) * Math.max(WEIGHT, 1 / known.count)
  }

  /** Tokens to hold, never more than the most that can come. */
  of(model: string, most: number): number {
    const known = this.#seen.get(model)
    return known === undefined || known.count < FEWEST ? most : Math.min(most, Math.ceil(known.mean * MARGIN))
  }
}
