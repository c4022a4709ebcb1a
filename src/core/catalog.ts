/** The port to the dated data about models: catalog/ implements it, snapshots use it. */
import type { Price } from './usage.ts'

export interface Catalog {
  /** Undefined: nobody knows the price. A price of zero is a price. */
  priceOf(vendor: string, model: string, at: number): Price | undefined
  modelsOf(vendor: string): readonly string[]
  /** The vendors that list exactly this model, its maker first. */
  makersOf(model: string): readonly string[]
  /** The largest output the model takes, for vendors that demand a limit. */
  outputLimitOf(model: string): number | undefined
}
