/**
 * The keys of an upstream as one pool: which of them serves the next attempt, and when one rests. A refused key goes to
 * rest at once and alone; the target itself is out only when all of its keys are.
 */
import type { Credential, Target } from '../exchange.ts'
import type { Circuit } from './circuit.ts'
import { shareOf } from './sticky.ts'

function circuitsOf({ health }: Credential, model: string): readonly (Circuit | undefined)[] {
  return [health.circuit, health.models.get(model)]
}

function canServe(key: Credential, model: string, now: number): boolean {
  const { health } = key
  if (!health.circuit.admits(now)) return false
  if (health.models.size > 0 && health.models.get(model)?.admits(now) === false) return false
  return key.limits === undefined || health.within(key.limits, now)
}

/** Whether a call to this target could be made now. */
export function isUsable(target: Target, now: number): boolean {
  if (!target.health.circuit.admits(now)) return false
  const { credentials } = target.upstream
  return credentials.length === 0 || credentials.some((key) => canServe(key, target.model, now))
}

/** When this target can be called again at the earliest, and why not now. */
export function recoveryOf(target: Target, now: number): { readonly at: number; readonly reason: string } {
  if (!target.health.circuit.admits(now)) return target.health.circuit.recovery
  let soonest: { at: number; reason: string } | undefined
  for (const key of target.upstream.credentials) {
    let latest = { at: now, reason: 'its keys are at their limits' }
    for (const circuit of circuitsOf(key, target.model)) {
      if (circuit && !circuit.admits(now) && circuit.recovery.at >= latest.at) latest = circuit.recovery
    }
    if (latest.at === now) latest = { ...latest, at: (Math.floor(now / 60_000) + 1) * 60_000 }
    if (!soonest || latest.at < soonest.at) soonest = latest
  }
  return soonest ?? { at: now, reason: 'no key' }
}

/**
 * The key for the next attempt, by weight, or always the same for one conversation (prompt caches belong to accounts).
 * `spent` were tried by this exchange and failed. Undefined: none can serve now. Not `judged`: circuits have no say.
 */
export function keyFor(
  target: Target,
  now: number,
  spent: ReadonlySet<Credential> | undefined,
  affinity: string | undefined,
  judged: boolean,
): Credential | undefined {
  const { credentials } = target.upstream
  if (credentials.length === 1) {
    const [only] = credentials as [Credential]
    if (spent?.has(only)) return undefined
    return !judged || canServe(only, target.model, now) ? only : undefined
  }
  let best: Credential | undefined
  let lowest = Number.POSITIVE_INFINITY
  for (const key of credentials) {
    if (spent?.has(key) || (judged && !canServe(key, target.model, now))) continue
    const chance = affinity === undefined ? Math.random() : shareOf(`${affinity}\n${key.id}`)
    const score = key.weight > 0 ? -Math.log(1 - chance) / key.weight : Number.MAX_VALUE
    if (score < lowest || best === undefined) {
      best = key
      lowest = score
    }
  }
  return best
}

/** Takes what was seen to be free: the one probe of a half-open circuit, for `caller`. False: somebody else has it. */
export function enter(target: Target, key: Credential | undefined, now: number, caller: object): boolean {
  if (!target.health.circuit.enter(now, caller)) return false
  if (!key) return true
  const entered: Circuit[] = [target.health.circuit]
  for (const circuit of circuitsOf(key, target.model)) {
    if (circuit?.enter(now, caller) === false) {
      for (const each of entered) each.leave(caller)
      return false
    }
    if (circuit) entered.push(circuit)
  }
  return true
}
