/**
 * The compiled configuration an exchange runs under. Built beside the living one, swapped in by one assignment; the
 * modules that changed stop when their last exchange has left.
 */
import type { Catalog } from './catalog.ts'
import type { Principal, Upstream } from './exchange.ts'
import type { Awaitable, Module } from './module.ts'
import { compileNames, type Names } from './names.ts'
import { chainOf } from './overrides.ts'
import { compile, type Live, type Pipeline } from './pipeline.ts'
import { compilePrices, type Prices } from './prices.ts'
import type { HealthBook } from './routing/health.ts'
import type { Configuration } from './store.ts'

export interface Snapshot {
  readonly revision: number
  readonly configuration: Configuration
  readonly pipeline: Pipeline
  /** What this caller's exchanges run through, where places have overrides; compiled on first use. Absent: nowhere. */
  readonly pipelineFor?: (who: Principal) => Awaitable<Pipeline>
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
  /** The modules as they are at the end of a chain of places, beside those that are running. */
  derive(chain: readonly string[], running: readonly Instance[]): Promise<readonly Instance[]>
}): Snapshot {
  const { revision, configuration, live, upstreams, catalog, health } = parts
  for (const instance of live) instance.uses++
  const derived = new Set<Instance>()
  let inside = 0
  let retired = false
  let released = false
  const releaseIfEmpty = (): void => {
    if (!retired || inside > 0 || released) return
    released = true
    for (const instance of [...live, ...derived]) {
      instance.uses--
      if (instance.uses === 0) instance.stop()
    }
  }
  const pipeline = compile(live)
  const { overrides = {} } = configuration
  const compiled = new Map<string, Awaitable<Pipeline>>()
  const compileFor = async (chain: readonly string[]): Promise<Pipeline> => {
    const instances = await parts.derive(chain, [...live, ...derived])
    for (const instance of instances) {
      if (live.includes(instance) || derived.has(instance)) continue
      derived.add(instance)
      instance.uses++
    }
    return compile(instances)
  }
  const pipelineFor = (who: Principal): Awaitable<Pipeline> => {
    const chain = chainOf(who, overrides)
    if (chain.length === 0) return pipeline
    const name = chain.join(' ')
    let found = compiled.get(name)
    if (!found) {
      const making = compileFor(chain)
      found = making
      making.then(
        (made) => compiled.set(name, made),
        () => compiled.delete(name),
      )
      compiled.set(name, found)
    }
    return found
  }
  return {
    revision,
    configuration,
    live,
    upstreams,
    pipeline,
    ...(Object.keys(overrides).length > 0 ? { pipelineFor } : {}),
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
