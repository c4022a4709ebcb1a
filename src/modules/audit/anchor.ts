/** The contract of a place that keeps checkpoints. */
import type { Published } from './trail.ts'

export interface Anchor {
  readonly name: string
  publish(checkpoint: Published): Promise<void>
  /** The note of the newest checkpoint that it keeps; where it can be read back. */
  newest?(): Promise<string | undefined>
  close?(): void
}

/** How long one call or write may take. */
export const ANCHOR_MS = 5_000
