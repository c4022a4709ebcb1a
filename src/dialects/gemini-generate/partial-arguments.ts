/**
 * Function-call arguments that Google streams as values under JSON paths, turned into pieces of one JSON text. Paths
 * come in document order, so containers open and close as the paths move; a path back into something closed cannot be
 * expressed any more and is the upstream's mistake.
 */
import { failure } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { stringOf } from './vocabulary.ts'

type Step = string | number

interface Container {
  readonly isArray: boolean
  /** The entry being written. */
  at: Step
  /** Names already written. */
  readonly names: Set<string>
}

/** An index this far beyond the last one is no argument that a model wrote. */
const MOST_GAP = 1_000
const MOST_DEPTH = 100

export class PartialArguments {
  readonly #open: Container[] = []
  /** The path whose string is still growing. */
  #growing: string | undefined

  /** One element of `partialArgs` → the JSON text that it adds. */
  add(partial: JsonObject): string {
    const path = stringOf(partial.jsonPath) ?? '$'
    const value = givenValue(partial)
    if (value === undefined) return ''
    const continues = partial.willContinue === true
    if (this.#growing === path && typeof value === 'string') {
      const piece = inner(value)
      if (continues) return piece
      this.#growing = undefined
      return `${piece}"`
    }
    const json = this.#endString() + this.#moveTo(path)
    if (typeof value !== 'string') return json + JSON.stringify(value)
    if (!continues) return json + JSON.stringify(value)
    this.#growing = path
    return `${json}"${inner(value)}`
  }

  /** Closes whatever is open; the arguments of a call without any are `{}`. */
  end(): string {
    if (!this.started) return '{}'
    let json = this.#endString()
    while (this.#open.length > 0) json += this.#close()
    return json
  }

  get started(): boolean {
    return this.#open.length > 0
  }

  #endString(): string {
    if (this.#growing === undefined) return ''
    this.#growing = undefined
    return '"'
  }

  #close(): string {
    return this.#open.pop()?.isArray ? ']' : '}'
  }

  #moveTo(path: string): string {
    const steps = stepsOf(path)
    const open = this.#open
    let shared = 0
    while (shared < open.length && shared < steps.length && open[shared]?.at === steps[shared]) shared++
    // The entry at `shared` is the first that differs; the containers below the one that holds it are done.
    if (shared === steps.length) throw outOfOrder(path)
    let json = ''
    while (open.length > shared + 1) json += this.#close()
    const holder = open[shared]
    if (holder) json += this.#next(holder, steps[shared] as Step, path)
    else if (shared > 0) throw outOfOrder(path)
    for (let depth = holder ? shared + 1 : 0; depth < steps.length; depth++) {
      const step = steps[depth] as Step
      const isArray = typeof step === 'number'
      const container: Container = { isArray, at: isArray ? -1 : '', names: new Set() }
      open.push(container)
      json += (isArray ? '[' : '{') + this.#next(container, step, path)
    }
    return json
  }

  #next(container: Container, step: Step, path: string): string {
    if (typeof step === 'number') {
      const last = container.at
      if (typeof last !== 'number' || step <= last || step - last > MOST_GAP) throw outOfOrder(path)
      container.at = step
      return (last < 0 ? '' : ',') + 'null,'.repeat(step - last - 1)
    }
    if (container.isArray || container.names.has(step)) throw outOfOrder(path)
    const comma = container.names.size > 0 ? ',' : ''
    container.names.add(step)
    container.at = step
    return `${comma}${JSON.stringify(step)}:`
  }
}

/** A piece of a JSON string, without its quotes. Halves of a surrogate pair are escaped, so a pair may be cut. */
const inner = (text: string): string => JSON.stringify(text).slice(1, -1)

function givenValue(partial: JsonObject): JsonValue | undefined {
  if (typeof partial.stringValue === 'string') return partial.stringValue
  if (typeof partial.numberValue === 'number' || typeof partial.boolValue === 'boolean') {
    return (partial.numberValue ?? partial.boolValue) as JsonValue
  }
  return Object.hasOwn(partial, 'nullValue') ? null : undefined
}

const outOfOrder = (path: string) =>
  failure('upstream_invalid', {
    problem: `streamed function arguments that do not fit together at ${path.slice(0, 200)}`,
  })

const STEP = /\.([^.[\]]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]/y

/** `$.a[0]['b c']` → a, 0, b c. */
function stepsOf(path: string): Step[] {
  const steps: Step[] = []
  STEP.lastIndex = 1
  while (STEP.lastIndex < path.length && steps.length <= MOST_DEPTH) {
    const match = STEP.exec(path)
    if (!match) throw outOfOrder(path)
    const [, name, index, single, double] = match
    if (index !== undefined) steps.push(Number(index))
    else steps.push(name ?? (single ?? double ?? '').replace(/\\(.)/g, '$1'))
  }
  if (!path.startsWith('$') || steps.length === 0 || steps.length > MOST_DEPTH) throw outOfOrder(path)
  return steps
}
