/**
 * How the administrative change that is being made came about. Set around an administrator's call; whoever writes the row
 * of a change reads it here, so that no handler has to hand it on.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

export interface Acting {
  readonly requestId?: string
  /** The address that it came from. */
  readonly source?: string
  /** For whom, as whoever has the administrator's right says. */
  readonly onBehalfOf?: string
  readonly reason?: string
}
export const acting = new AsyncLocalStorage<Acting>()
