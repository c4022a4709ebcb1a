/**
 * Where an intent may be taken in strict mode: the trail's database, and files beside it. One of them is enough; a device
 * that fails is an alarm. A network receiver is none, because that a line was sent does not say that it was kept.
 * Intents of one turn share a write, so that waiting costs one timer, not one each.
 */
import type { Outlet } from '../../core/egress.ts'
import type { Host } from '../../core/module.ts'
import { canonical } from './canonical.ts'
import type { Draft } from './record.ts'
import type { Recorder } from './recorder.ts'
import type { DeviceSettings } from './settings.ts'

export interface Devices {
  /** Rejects if none has taken it within `limitMs`. */
  take(draft: Draft, recorder: Recorder, limitMs: number): Promise<void>
  close(): void
}
interface Group {
  readonly lines: string[]
  readonly written: Promise<void>
}

export function openDevices(host: Host, chosen: readonly DeviceSettings[]): Devices {
  const outlets = chosen.map(({ path }) => ({ name: path, outlet: host.openOutlet(fileUrl(path)) }))
  const alarms = host.metrics.counter('audit_device_failures', 'Intents that a device did not take.')
  let group: Group | undefined

  const write = async (outlet: Outlet, name: string, lines: readonly string[], limitMs: number): Promise<void> => {
    try {
      await outlet.write(lines.join('\n'), limitMs)
    } catch (error) {
      alarms.add(lines.length)
      host.log.error(`the audit device ${name} does not take records: ${(error as Error).message}`)
      throw error
    }
  }
  /** Resolves with the first device that has all lines of this turn. */
  const beside = (line: string, limitMs: number): Promise<void> => {
    if (group === undefined) {
      const lines: string[] = []
      const written = new Promise<void>((resolve) => queueMicrotask(resolve)).then(() => {
        group = undefined
        return Promise.any(outlets.map(({ outlet, name }) => write(outlet, name, lines, limitMs)))
      })
      group = { lines, written }
    }
    group.lines.push(line)
    return group.written
  }

  return {
    take(draft, recorder, limitMs) {
      const taken = [recorder.take(draft)]
      if (outlets.length > 0) taken.push(beside(canonical({ ...draft.facts, ...rest(draft) }), limitMs))
      return within(limitMs, taken)
    },
    close() {
      for (const { outlet } of outlets) outlet.close()
    },
  }
}

const rest = ({ at, kind, organization, exchange }: Draft) => ({
  at: new Date(at).toISOString(),
  kind,
  ...(organization === undefined ? {} : { organization }),
  ...(exchange === undefined ? {} : { exchange }),
})

async function within(limitMs: number, taken: readonly Promise<void>[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no device took it within ${limitMs} ms`)), limitMs)
  })
  try {
    await Promise.race([Promise.any(taken), late])
  } catch (error) {
    const first = error instanceof AggregateError ? (error.errors[0] as Error) : (error as Error)
    throw new Error(first.message, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

export const fileUrl = (path: string): string => `file://${encodeURI(path)}`
