/**
 * What is under way at this moment, where things come and go with every request. Not a `Set`: V8 outgrows the table of a
 * `Set` or `Map` every few dozen changes, and an outgrown table points at its successor. Once one of them has become old,
 * each later one, and with it every request that was in it, is kept until a full collection: most of what a request
 * allocates then survives it, which costs more than the request. Here each member knows its own place instead.
 */
import type { Exchange } from './exchange.ts'

export interface Member {
  /** Where it is kept; -1 while it is not under way. Written by `Underway` alone. */
  place: number
}

/** An exchange, and what ends it. */
export interface RunningExchange extends Member {
  readonly x: Exchange
  readonly controller: AbortController
}

export class Underway<T extends Member> {
  readonly #members: T[] = []

  get size(): number {
    return this.#members.length
  }

  add(member: T): void {
    if (member.place === -1) member.place = this.#members.push(member) - 1
  }

  /** Leaves no trace. Whoever is not in may be taken out all the same. */
  delete(member: T): void {
    const { place } = member
    if (place === -1) return
    member.place = -1
    const last = this.#members.pop() as T
    if (last === member) return
    this.#members[place] = last
    last.place = place
  }

  find(is: (member: T) => boolean): T | undefined {
    return this.#members.find(is)
  }

  /** Newest first. `visit` may take out any of them; one that is moved by that may be visited again or not at all. */
  each(visit: (member: T) => void): void {
    for (let at = this.#members.length - 1; at >= 0; at--) {
      const member = this.#members[at]
      if (member) visit(member)
    }
  }
}
