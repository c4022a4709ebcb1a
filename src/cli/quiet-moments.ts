/**
 * Gives memory back when nobody waits. V8's young generation grows while the program is loaded and under load, and shrinks
 * in a collection of last resort only; that takes some fifty milliseconds, so it is made in a quiet moment: once after
 * the start, and again after a burst that made the process grow.
 */
const LOOK_MS = 500
/** Since the last collection, in bytes. Less is not worth one. */
const GROWN = 32 * 1024 * 1024
/** How many looks in a row must find nobody waiting, after the start and after a burst: the next request may be near. */
const QUIET_LOOKS = { start: 1, burst: 10 }

export function tidyInQuietMoments(isQuiet: () => boolean): void {
  // There when Node was started with --expose-gc, as `npm start` and the executable do.
  const collect = globalThis.gc
  if (!collect) return
  let left: number | undefined
  let quiet = 0
  const look = (): void => {
    quiet = isQuiet() ? quiet + 1 : 0
    if (quiet < (left === undefined ? QUIET_LOOKS.start : QUIET_LOOKS.burst)) return
    quiet = 0
    if (left !== undefined && process.memoryUsage.rss() < left + GROWN) return
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
    left = process.memoryUsage.rss()
  }
  setInterval(look, LOOK_MS).unref()
}
