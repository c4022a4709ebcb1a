/**
 * Gives back the memory that only the start needed. While the program is loaded V8's young generation grows, and V8 lets
 * it shrink in a collection of last resort only; that takes some fifty milliseconds, so it is done once, when nobody waits.
 */
const QUIET_MS = 500

export function tidyAfterStart(isQuiet: () => boolean): void {
  // There when Node was started with --expose-gc, as `npm start` and the executable do.
  const collect = globalThis.gc
  if (!collect) return
  const timer = setInterval(() => {
    if (!isQuiet()) return
    clearInterval(timer)
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  }, QUIET_MS)
  timer.unref()
}
