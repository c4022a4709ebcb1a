/**
 * The figures (limits, budgets, grants) that apply to an exchange, and the counters in which it counts. What depends on
 * the caller alone is worked out once for each caller and kept until the directory changes.
 */
import type { Dimension, Directory, FigureKind, Rows, Selector } from './directory.ts'
import type { Exchange, Principal } from './exchange.ts'
import { anchorsOf, countersOf, scopesOf } from './scopes.ts'

/** A figure and one counter of it that the exchange falls into. */
export interface Applied<Figure> {
  readonly figure: Figure
  /** Unique among the counters of all figures of this kind. */
  readonly name: string
  /** The same object for each request of the caller, until the directory changes: worth remembering things by. */
  readonly lasting: boolean
}

interface Compiled<Figure> {
  readonly epoch: number
  /** The same for every request of this caller. */
  readonly fixed: readonly Applied<Figure>[]
  /** What hangs on this caller, but depends on what the request says. */
  readonly varying: readonly Figure[]
  /** What depends on where the request is sent. */
  readonly sent: readonly Figure[]
}

export class Figures<K extends FigureKind, Figure extends Rows[K] = Rows[K]> {
  readonly #directory: Pick<Directory, 'epoch' | 'figures'>
  readonly #kind: K
  readonly #compiled = new WeakMap<Principal, Compiled<Figure>>()

  constructor(directory: Pick<Directory, 'epoch' | 'figures'>, kind: K) {
    this.#directory = directory
    this.#kind = kind
  }

  /** Those that are known before a target is chosen. */
  of(x: Exchange): readonly Applied<Figure>[] {
    const { fixed, varying } = this.#compiledFor(x)
    const { endUser } = scopesOf(x)
    const own = endUser === undefined ? NOTHING : this.#at(`endUser:${endUser}`)
    if (varying.length === 0 && own.length === 0) return fixed
    const all = [...fixed]
    for (const figure of varying) collect(all, figure, x)
    for (const figure of own) if (figure.scope.upstream === undefined) collect(all, figure, x)
    return all
  }

  /** Those of one upstream, which count when a call to it is made. */
  to(x: Exchange, upstream: string): readonly Applied<Figure>[] {
    const { sent } = this.#compiledFor(x)
    const { endUser } = scopesOf(x)
    const own = endUser === undefined ? NOTHING : this.#at(`endUser:${endUser}`)
    if (sent.length === 0 && own.length === 0) return NOTHING
    const all: Applied<Figure>[] = []
    for (const figure of sent) collect(all, figure, x, upstream)
    for (const figure of own) if (figure.scope.upstream !== undefined) collect(all, figure, x, upstream)
    return all
  }

  /** Those that a caller alone falls into, whatever it asks for. */
  about(principal: Principal): readonly Applied<Figure>[] {
    return this.#compiledFor({ principal, headers: {}, json: {}, model: '' } as unknown as Exchange).fixed
  }

  #at(anchor: string): readonly Figure[] {
    return this.#directory.figures(this.#kind, anchor) as unknown as readonly Figure[]
  }

  #compiledFor(x: Exchange): Compiled<Figure> {
    const { epoch } = this.#directory
    const known = x.principal && this.#compiled.get(x.principal)
    if (known?.epoch === epoch) return known
    const { endUser: _, ...caller } = scopesOf(x)
    const fixed: Applied<Figure>[] = []
    const varying: Figure[] = []
    const sent: Figure[] = []
    for (const anchor of anchorsOf(caller)) {
      for (const figure of this.#at(anchor)) {
        if (figure.scope.upstream !== undefined) sent.push(figure)
        else if (varies(figure.scope)) varying.push(figure)
        else collect(fixed, figure, x, undefined, true)
      }
    }
    const compiled = { epoch, fixed, varying, sent }
    if (x.principal) this.#compiled.set(x.principal, compiled)
    return compiled
  }
}

const NOTHING: readonly never[] = []

const varies = ({ endUser, model, tag }: Selector): boolean =>
  endUser !== undefined || model !== undefined || tag !== undefined

function collect<Figure extends { readonly id: string; readonly scope: Selector }>(
  all: Applied<Figure>[],
  figure: Figure,
  x: Exchange,
  upstream?: string,
  lasting = false,
): void {
  for (const counter of countersOf(figure.scope, scopesOf(x), upstream))
    all.push({ figure, name: `${figure.id} ${counter}`, lasting })
}

/** What a counter's name says it is about, to ask the ledger for its past. */
export function whereOf(name: string): Partial<Record<Dimension, string>> {
  const counter = name.slice(name.indexOf(' ') + 1)
  const where: Partial<Record<Dimension, string>> = {}
  if (counter === '') return where
  for (const part of counter.split('|')) {
    const equals = part.indexOf('=')
    where[part.slice(0, equals) as Dimension] = decodeURIComponent(part.slice(equals + 1))
  }
  return where
}
