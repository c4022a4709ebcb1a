/**
 * The compiled configuration an exchange runs under. Built beside the living one, swapped in by one assignment; the
 * modules that changed stop when their last exchange has left.
 */
import type { Catalog } from './catalog.ts'
import type { Target, Upstream } from './exchange.ts'
import type { Module } from './module.ts'
import { parseDollars } from './money.ts'
import { compileNames, type Names } from './names.ts'
import { compile, type Live, type Pipeline } from './pipeline.ts'
import type { Configuration, PriceConfiguration } from './store.ts'
import type { Bucket, Price, Rates } from './usage.ts'

export interface Snapshot {
  readonly revision: number
  readonly configuration: Configuration
  readonly pipeline: Pipeline
  readonly live: readonly Instance[]
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly names: Names
  priceOf(target: Target, at: number): Price | undefined
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
}): Snapshot {
  const { revision, configuration, live, upstreams, catalog } = parts
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
    names: compileNames(configuration, upstreams, catalog),
    priceOf: prices(configuration, catalog),
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

/** An administrator's price for `upstream/model` or `model` wins over the catalog's; the newest that has begun applies. */
function prices(configuration: Configuration, catalog: Catalog): Snapshot['priceOf'] {
  const own = new Map<string, { from: number; price: Price }[]>()
  for (const [name, entries] of Object.entries(configuration.prices)) {
    own.set(
      name,
      entries.map((entry, i) => compilePrice(name, i, entry)).sort((a, b) => b.from - a.from),
    )
  }
  return ({ upstream, model }, at) => {
    if (own.size > 0) {
      const entries = own.get(`${upstream.id}/${model}`) ?? own.get(model)
      const found = entries?.find(({ from }) => from <= at)
      if (found) return found.price
    }
    const vendor = upstream.provider.catalog
    return vendor === undefined ? undefined : catalog.priceOf(vendor, model, at)
  }
}

function compilePrice(name: string, index: number, entry: PriceConfiguration): { from: number; price: Price } {
  const rates: Partial<Record<Bucket, bigint>> = {}
  for (const [bucket, dollars] of Object.entries(entry.rates)) rates[bucket as Bucket] = parseDollars(dollars)
  const perCall = entry.perCall && mapValues(entry.perCall, parseDollars)
  return {
    from: entry.from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(entry.from),
    price: {
      version: `override:${name}@${entry.from ?? index}`,
      rates: rates as Rates,
      ...(entry.perRequest === undefined ? {} : { perRequest: parseDollars(entry.perRequest) }),
      ...(perCall ? { perCall } : {}),
    },
  }
}

const mapValues = <A, B>(from: Readonly<Record<string, A>>, f: (a: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(from).map(([k, v]) => [k, f(v)]))
