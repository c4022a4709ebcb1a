/**
 * Places outside the database that keep checkpoints, so that a log which was cut off, rolled back or forked is found out.
 * Each gets the newest checkpoint, one at a time; one that fails is tried again with the next and never holds up another.
 */
import type { Host } from '../../core/module.ts'
import { ANCHOR_MS, type Anchor } from './anchor.ts'
import { fileUrl } from './devices.ts'
import { bucketAnchor } from './s3.ts'
import type { AnchorSettings } from './settings.ts'
import type { Kept, Published } from './trail.ts'
import { webhookAnchor } from './webhook.ts'
import { witnessAnchor } from './witness-anchor.ts'

const RETRY_MS = 30_000

interface Place {
  readonly anchor: Anchor
  size: number
  working: Promise<void> | undefined
  failedAt: number
  problem: string | undefined
}

export class Anchors {
  readonly #host: Host
  readonly #places: Place[]

  constructor(host: Host, chosen: readonly AnchorSettings[]) {
    this.#host = host
    this.#places = chosen.map((settings) => ({
      anchor: anchorOf(host, settings),
      size: -1,
      working: undefined,
      failedAt: Number.NEGATIVE_INFINITY,
      problem: undefined,
    }))
    host.memory.set('anchors', this.#places)
  }

  /** What each of them keeps, as far as it can be asked. */
  async newest(): Promise<Kept[]> {
    const kept = await Promise.all(
      this.#places.map(async ({ anchor }): Promise<Kept | undefined> => {
        try {
          const note = await anchor.newest?.()
          return note === undefined ? undefined : { note, where: anchor.name }
        } catch (error) {
          this.#host.log.warn(`the audit anchor ${anchor.name} could not be asked`, { error: String(error) })
          return undefined
        }
      }),
    )
    return kept.filter((each) => each !== undefined)
  }

  publish(checkpoint: Published | undefined): void {
    if (checkpoint === undefined) return
    const now = performance.now()
    for (const place of this.#places) {
      if (place.size >= checkpoint.id || place.working || now - place.failedAt < RETRY_MS) continue
      place.working = this.#deliver(place, checkpoint).finally(() => (place.working = undefined))
    }
  }

  async #deliver(place: Place, checkpoint: Published): Promise<void> {
    const { name } = place.anchor
    try {
      await place.anchor.publish(checkpoint)
      place.size = checkpoint.id
      place.problem = undefined
    } catch (error) {
      place.failedAt = performance.now()
      place.problem = (error as Error).message
      this.#host.log.error(`the audit anchor ${name} did not take a checkpoint: ${place.problem}`)
      this.#host.metrics.counter('audit_anchor_failures', 'Checkpoints that an anchor did not take.').add()
    }
  }

  /** The last checkpoint goes out before the end. */
  async close(last: Published | undefined): Promise<void> {
    await Promise.all(this.#places.map(({ working }) => working))
    for (const place of this.#places) place.failedAt = Number.NEGATIVE_INFINITY
    this.publish(last)
    await Promise.all(this.#places.map(({ working }) => working))
    for (const { anchor } of this.#places) anchor.close?.()
  }
}

/** For the status: each anchor, how far it is, and what is wrong with it. */
export function anchorStates(host: Host): { name: string; checkpoint: number | null; problem: string | null }[] {
  const places = (host.memory.get('anchors') ?? []) as readonly Place[]
  return places.map(({ anchor, size, problem }) => ({
    name: anchor.name,
    checkpoint: size < 0 ? null : size,
    problem: problem ?? null,
  }))
}

function anchorOf(host: Host, settings: AnchorSettings): Anchor {
  switch (settings.kind) {
    case 'file':
    case 'syslog':
      return lineAnchor(host, settings)
    case 'webhook':
      return webhookAnchor(host, settings)
    case 's3':
      return bucketAnchor(host, settings)
    case 'witness':
      return witnessAnchor(host, settings)
  }
}

/** A file or a syslog receiver: one line of JSON for each checkpoint. */
function lineAnchor(host: Host, settings: Extract<AnchorSettings, { kind: 'file' | 'syslog' }>): Anchor {
  const file = settings.kind === 'file'
  const outlet = host.openOutlet(file ? fileUrl(settings.path) : settings.url)
  const name = file ? settings.path : settings.url
  return {
    name,
    publish: ({ at, note }) =>
      outlet.write(JSON.stringify({ at: new Date(at).toISOString(), checkpoint: note }), ANCHOR_MS),
    ...(file
      ? {
          async newest() {
            const line = await outlet.last()
            if (line === undefined || line === '') return undefined
            return (JSON.parse(line) as { checkpoint: string }).checkpoint
          },
        }
      : {}),
    close: () => outlet.close(),
  }
}
