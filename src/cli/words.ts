/** What all commands read and say alike; loads nothing else. */

export function fail(message: string): never {
  console.error(`stockyard: ${message}`)
  process.exit(1)
}

export function portOf(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) fail(`--port ${text} is not a port`)
  return Number(text)
}
