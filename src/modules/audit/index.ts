/**
 * The audit trail: every administrative change, every money row and, by level, every exchange as a leaf of a Merkle tree
 * whose signed heads are kept elsewhere, so that a stranger can tell whether anything was edited, cut off or rolled back.
 */
import type { Exchange } from '../../core/exchange.ts'
import { defineModule, type Host, type Subject } from '../../core/module.ts'
import { Acts } from './acts.ts'
import { admin } from './admin.ts'
import { Anchors } from './anchors.ts'
import { openDevices } from './devices.ts'
import { exchangeOf, intentOf, levelOf, withCommitments } from './exchanges.ts'
import { INTENT_MS, Recorder } from './recorder.ts'
import { type Settings, settings } from './settings.ts'
import { tables } from './tables.ts'

const TICK_MS = 250

export default defineModule({
  id: 'audit',
  summary: 'Makes every change and every decision provable: tampering, truncation and roll-back are detected offline.',
  layer: 'books',
  default: 'off',
  fault: 'closed',
  patienceMs: 2_000,
  settings,
  tables,
  admin,
  errors: {
    audit_unavailable: {
      status: 503,
      blame: 'gateway',
      retry: 'never',
      final: false,
      message: 'The audit trail cannot take a record ({problem}), and nothing is sent without one. Try again later.',
    },
  },
  /** Salts: without them the commitments of records match nothing any more, while records and proofs stay as they are. */
  erase(host, subject) {
    const on = Recorder.of(host).status !== undefined
    if (on) return host.worker.call<number>('erase', { ...subject, now: host.now() })
    return eraseOffline(host, subject)
  },
  async start(host, chosen) {
    const strict = chosen.mode === 'strict'
    const recorder = Recorder.of(host)
    const anchors = new Anchors(host, chosen.anchors)
    await recorder.begin(chosen.origin, () => anchors.newest(), strict)
    anchors.publish(recorder.checkpoint)
    host.jobs.every(TICK_MS, async () => {
      await recorder.tick()
      anchors.publish(recorder.checkpoint)
    })
    host.hear(new Acts((draft) => recorder.note(draft)).hear)
    metrics(host, recorder)
    const commits = commitsAnywhere(chosen)
    const devices = strict ? openDevices(host, chosen.devices) : undefined
    return {
      ...(strict || commits ? { admit: admission(host, chosen, recorder, devices) } : {}),
      record(ended) {
        for (const x of ended) record(x, chosen, recorder)
        recorder.sendIfMany()
      },
      async stop() {
        await recorder.end(() => anchors.close(recorder.checkpoint))
        devices?.close()
      },
    }
  },
})

const commitsAnywhere = ({ level, scopes }: Settings): boolean =>
  level === 'content-commitment' || Object.values(scopes).includes('content-commitment')

function record(x: Exchange, { level, scopes, commitBytes }: Settings, recorder: Recorder): void {
  const own = levelOf(x, level, scopes)
  const draft = exchangeOf(x, own)
  if (draft === undefined) return
  if (own !== 'content-commitment') {
    recorder.note(draft)
    return
  }
  const committed = withCommitments(draft, x, commitBytes)
  recorder.note(committed.draft, committed.salt)
}

/** Deepest in the onion, so that nothing which was refused before it costs a record of intent. */
function admission(
  host: Host,
  chosen: Settings,
  recorder: Recorder,
  devices: ReturnType<typeof openDevices> | undefined,
) {
  const { level, scopes, commitBytes } = chosen
  return (x: Exchange) => {
    const own = levelOf(x, level, scopes)
    if (own === 'content-commitment') x.keepReplyBytes = Math.max(x.keepReplyBytes, commitBytes)
    if (devices === undefined || own === 'off') return undefined
    return devices.take(intentOf(x), recorder, INTENT_MS).then(
      () => undefined,
      (error: Error) => host.refuse('audit_unavailable', { problem: error.message }),
    )
  }
}

function metrics(host: Host, recorder: Recorder): void {
  host.metrics.gauge('audit_records', 'Records in the audit trail.', () => recorder.status?.records ?? 0)
  host.metrics.gauge('audit_behind', 'Rows that the audit trail has not taken yet.', () => recorder.status?.behind ?? 0)
  host.metrics.gauge('audit_dropped', 'Records that were dropped because too many waited.', () => recorder.dropped)
  host.metrics.gauge('audit_broken', 'Whether the audit trail cannot be written.', () => (recorder.problem ? 1 : 0))
}

/** While the module is off nothing else writes its file; the erasure is told to whoever switches it on by core's own record. */
async function eraseOffline(host: Host, { exchange, principal, user, endUser }: Subject): Promise<number> {
  await host.tables.run('secureDelete')
  const nulls = {
    exchange: exchange ?? null,
    principal: principal ?? null,
    user: user ?? null,
    endUser: endUser ?? null,
  }
  const { changes } = await host.tables.run('dropSaltsOf', nulls)
  await host.tables.run('emptyLog')
  return changes
}
