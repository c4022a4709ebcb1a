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

/** One call of an administrator, or of somebody who wanted to be one, that a record is worth although it changes no row. */
export interface Act extends Acting {
  readonly at: number
  readonly actor: string
  /** `POST backup`, `GET logs/req_1`: method and path. */
  readonly action: string
  /** Of the answer. */
  readonly status: number
  readonly error?: string
}
