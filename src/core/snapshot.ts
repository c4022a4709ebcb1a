/**
 * The compiled configuration an exchange runs under. Built beside the living one, swapped in by one assignment; the
 * modules that changed stop when their last exchange has left.
 */
import type { Catalog } from './catalog.ts'
import type { Upstream } from './exchange.ts'
import type { Module } from './module.ts'
import { compileNames, type Names } from './names.ts'
import { compile, type Live, type Pipeline } from './pipeline.ts'
import { compilePrices, type Prices } from './prices.ts'
import type { HealthBook } from './routing/health.ts'
import type { Configuration } from './store.ts'

export interface Snapshot {
  readonly revision: number
  readonly configuration: Configuration
  readonly pipeline: Pipeline
  readonly live: readonly Instance[]
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly names: Names
  readonly prices: Prices
  /** An exchange begins under this snapshot; the function it gets says that it has left. */
  enter(): () => void
  /** No new exchange will enter. */
  retire(): void
  readonly inside: number
}

/** A started module. It may serve several snapshots in a row, and stops when the last of them is done with it. */
export interface Instance extends Live {
  readonly module: Module
  /** Settings and mode it was started with, as text: the same again means it need not start anew. */
  readonly identity: string
  uses: number
  stop(): void
}

export function createSnapshot(parts: {
  readonly revision: number
  readonly configuration: Configuration
  readonly live: readonly Instance[]
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly catalog: Catalog
  readonly health: HealthBook
}): Snapshot {
  const { revision, configuration, live, upstreams, catalog, health } = parts
  for (const instance of live) instance.uses++
  let inside = 0
  let retired = false
  let released = false
  const releaseIfEmpty = (): void => {
    if (!retired || inside > 0 || released) return
    released = true
    for (const instance of live) {
      instance.uses--
      if (instance.uses === 0) instance.stop()
    }
  }
  return {
    revision,
    configuration,
    live,
    upstreams,
    pipeline: compile(live),
    names: compileNames(configuration, upstreams, catalog, health),
    prices: compilePrices(configuration, catalog),
    enter() {
      inside++
      let left = false
      return () => {
        if (left) return
        left = true
        inside--
        releaseIfEmpty()
      }
    },
    retire() {
      retired = true
      releaseIfEmpty()
    },
    get inside() {
      return inside
    },
  }
}
