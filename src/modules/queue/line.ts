/**
 * Who waits for a place, and who is next: by priority, and within one priority fair between tenants, however many requests
 * each of them sends. Start-time fair queueing: a tenant's next request is due one step after its last one.
 */

export interface Waiter {
  readonly tenant: string
  /** Higher goes first. */
  readonly priority: number
  go(): void
}

export class Line {
  running = 0
  #waiting: { readonly waiter: Waiter; readonly due: number }[] = []
  readonly #due = new Map<string, number>()
  #now = 0

  get waiting(): number {
    return this.#waiting.length
  }

  /** Tells how many are before it; the waiter's `go` takes the place. */
  join(waiter: Waiter): number {
    const due = Math.max(this.#now, this.#due.get(waiter.tenant) ?? 0) + 1
    this.#due.set(waiter.tenant, due)
    let at = this.#waiting.length
    while (at > 0) {
      const other = this.#waiting[at - 1]
      if (!other || other.waiter.priority > waiter.priority) break
      if (other.waiter.priority === waiter.priority && other.due <= due) break
      at--
    }
    this.#waiting.splice(at, 0, { waiter, due })
    return at
  }

  leave(waiter: Waiter): void {
    const at = this.#waiting.findIndex((each) => each.waiter === waiter)
    if (at >= 0) this.#waiting.splice(at, 1)
    this.#forget()
  }

  /** A place became free, or there are more of them. */
  advance(places: number): void {
    while (this.running < places) {
      const next = this.#waiting.shift()
      if (!next) break
      this.#now = Math.max(this.#now, next.due)
      this.running++
      next.waiter.go()
    }
    this.#forget()
  }

  /** Who has nothing waiting starts anew, so that tenants of the past take no memory. */
  #forget(): void {
    if (this.#waiting.length > 0) return
    this.#due.clear()
    this.#now = 0
  }
}
