/**
 * A port for a program that cannot choose one itself. It lies below those that systems give out by themselves (from 32,768 or
 * 49,152 on), so that no connection of anybody's takes it before the program does.
 */
import { createServer } from 'node:net'

const FIRST = 10_000
const LAST = 32_000

export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST))
    if (await isFree(port)) return port
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
