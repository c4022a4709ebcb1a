/** The port to the dated data about models: catalog/ implements it, snapshots use it. */
import type { Price } from './usage.ts'

export type Modality = 'text' | 'image' | 'audio' | 'video' | 'document'

export interface Capabilities {
  /** Tokens of prompt and answer together; for vendors that count them apart, of the prompt. */
  readonly contextTokens?: number
  /** The most tokens of one answer, reasoning included. */
  readonly outputTokens?: number
  readonly input?: readonly Modality[]
  /** Body fields of the maker's chat API that this family answers with a 400. */
  readonly refuses?: readonly string[]
}

export interface Catalog {
  /** Undefined: nobody knows the price. A price of zero is a price. */
  priceOf(vendor: string, model: string, at: number): Price | undefined
  modelsOf(vendor: string): readonly string[]
  /** The vendors that list exactly this model, its maker first. */
  makersOf(model: string): readonly string[]
  /** The largest output the model takes, for vendors that demand a limit. */
  outputLimitOf(model: string): number | undefined
  /** What is known of a model; nothing is guessed. */
  capabilitiesOf(model: string): Capabilities
}
