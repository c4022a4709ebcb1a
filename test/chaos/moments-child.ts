/**
 * The gateway as a process that kills itself at a named moment of a request (`x-moment`), at once and without warning: what
 * moments.test.ts starts anew each time. The moments lie where a kill from outside cannot be aimed.
 */
import { parseArgs } from 'node:util'
import { Type } from 'typebox'
import { defineModule, type Host } from '../../src/core/module.ts'
import { serve } from '../../src/serve.ts'
import { whoever } from '../running/identity.ts'

const closed = { additionalProperties: false }
const die = (): void => void process.kill(process.pid, 'SIGKILL')
let armed: string | undefined
const at = (moment: string): void => {
  if (armed === moment) die()
}

/** Before anybody knows who asks. */
const door = defineModule({
  id: 'door',
  summary: 'Kills the process.',
  layer: 'identity',
  default: 'enforce',
  fault: 'closed',
  settings: Type.Object({}, closed),
  start: () => ({
    authenticate({ headers }) {
      armed = headers['x-moment']
      at('accepted')
      return undefined
    },
  }),
})

/** After all limits have taken their holds, and where the ledger and the reply are. */
const moments = defineModule({
  id: 'moments',
  summary: 'Kills the process.',
  layer: 'memory',
  default: 'enforce',
  fault: 'closed',
  settings: Type.Object({}, closed),
  start: (host: Host) => {
    host.ledger.watch({
      committed: (rows) => {
        for (const { kind } of rows) at(kind)
      },
      doubtful: () => {},
    })
    let batches = 0
    return {
      admit() {
        at('reserved')
        batches = 0
        return undefined
      },
      meter() {
        at('first byte')
        if (++batches >= 6) at('mid-stream')
      },
      stream: () =>
        armed === 'usage seen'
          ? {
              push(event) {
                if (event.type === 'finish') at('usage seen')
                return [event]
              },
            }
          : undefined,
      settle: () => at('settled'),
      record: () => at('answered'),
    }
  },
})

const { values } = parseArgs({ allowPositionals: true, strict: false, options: { 'data-dir': { type: 'string' } } })
const served = await serve({
  host: '127.0.0.1',
  port: 0,
  dataDir: String(values['data-dir']),
  logLevel: 'warn',
  workerUrl: new URL('../../src/store/local/worker.ts', import.meta.url),
  environment: process.env as Record<string, string>,
  extraModules: [door, moments, whoever] as never,
})
console.log(`listens on ${served.url}`)
