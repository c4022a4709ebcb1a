/**
 * The gateway killed without warning, at chance moments under load and at named ones: what a client saw to its end is
 * booked, what was open is in doubt and not lost, what an administrator was told is kept, and it starts again at once.
 */
import assert from 'node:assert/strict'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../running/index.ts'
import {
  attemptsIn,
  type BookedAttempt,
  load,
  MODEL,
  openStream,
  type Spawned,
  scratch,
  spawnGateway,
  upstreamFor,
} from './spawned.ts'

const ROUNDS = Number(process.env.STOCKYARD_KILLS ?? 10)
const CLIENTS = 6
/** Two seconds are the goal on an idle machine; with other tests beside it, loading the program alone takes as long. */
const MOST_START_MS = 8_000

/** Every change writes the whole configuration, so that it must not grow with the rounds. */
const MOST_UPSTREAMS = 50

/** Names of upstreams whose creation was acknowledged; the oldest go. */
async function administrate(gateway: Spawned, round: number, made: Set<string>, goOn: () => boolean): Promise<void> {
  for (let n = 0; goOn(); n++) {
    const id = `round-${round}-${n}`
    try {
      await gateway.admin('PUT', `upstreams/${id}`, { provider: 'openai', baseUrl: 'http://127.0.0.1:9/v1' })
    } catch {
      return
    }
    made.add(id)
    const [oldest] = made
    if (made.size > MOST_UPSTREAMS && oldest !== undefined) {
      // Whether it is gone is not known before the answer.
      made.delete(oldest)
      await gateway.admin('DELETE', `upstreams/${oldest}`).catch(() => {})
    }
    await sleep(10)
  }
}

/** The files as the kill left them, in a copy, so that the next start finds them untouched. */
function leftWell(t: TestContext, dataDir: string, answered: ReadonlySet<string>): void {
  const copy = join(scratch(t), 'copy')
  cpSync(dataDir, copy, { recursive: true })
  const booked = new Map(attemptsIn(copy).map((a) => [a.exchange, a.outcome]))
  const lost = [...answered].filter((id) => booked.get(id) !== 'done')
  assert.deepEqual(lost, [], `of ${answered.size} answered requests some are not booked after a kill`)
  for (const name of ['ledger', 'stockyard', 'objects']) {
    const db = new DatabaseSync(join(copy, `${name}.db`))
    assert.equal(db.prepare('PRAGMA integrity_check').get()?.integrity_check, 'ok', name)
    db.close()
  }
  rmSync(copy, { recursive: true, force: true })
}

const has = (made: ReadonlySet<string>, round: number) => [...made].some((id) => id.startsWith(`round-${round}-`))

test(`T01: ${ROUNDS} kills under load lose no answered request and no acknowledged change`, async (t) => {
  const dataDir = join(scratch(t), 'data')
  const upstream = await upstreamFor(t)
  const answered = new Set<string>()
  const made = new Set<string>()
  const starts: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    // What survives the end of the process must do so in either mode.
    const environment = { STOCKYARD_DURABILITY: round % 2 === 0 ? 'process' : 'power-loss' }
    const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url, environment })
    starts.push(gateway.startMs)
    const before = answered.size
    let over = false
    const goOn = () => !over
    const running = [
      ...Array.from({ length: CLIENTS }, () => load(gateway, answered, goOn)),
      administrate(gateway, round, made, goOn),
    ]
    await until(() => answered.size > before + 10 && has(made, round), 'it is under load', 60_000)
    // At another moment each time.
    await sleep((round * 37) % 200)
    gateway.process.kill('SIGKILL')
    assert.equal(await gateway.ended, 'SIGKILL')
    over = true
    await Promise.all(running)
    leftWell(t, dataDir, answered)
  }
  const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
  const attempts = attemptsIn(dataDir)
  const booked = new Map(attempts.map((a) => [a.exchange, a]))
  assert.equal(booked.size, attempts.length, 'no request id comes twice')
  const lost = [...answered].filter((id) => booked.get(id)?.outcome !== 'done')
  assert.deepEqual(lost, [], `of ${answered.size} answered requests some are not booked`)
  assert.ok(
    [...answered].every((id) => booked.get(id)?.source === 'provider'),
    'with what the provider reported',
  )
  assert.deepEqual(
    attempts.filter((a) => a.outcome === null),
    [],
    'nothing is left open',
  )
  assert.ok(upstream.ledger.totals.requests <= attempts.length, 'nothing went upstream unbooked')
  for (const a of attempts) if (a.outcome === 'in-doubt') assert.equal(a.cost, a.held)

  const rows = (await gateway.admin('GET', 'usage?groupBy=upstream')).rows as { attempts: number; inDoubt: number }[]
  const total = (key: 'attempts' | 'inDoubt') => rows.reduce((all, row) => all + row[key], 0)
  assert.equal(total('attempts'), attempts.length, 'the usage shown is the ledger')
  assert.equal(total('inDoubt'), attempts.filter((a) => a.outcome === 'in-doubt').length)

  const { upstreams } = await gateway.admin('GET', 'upstreams')
  const known = new Set((upstreams as { id: string }[]).map(({ id }) => id))
  assert.deepEqual(
    [...made].filter((id) => !known.has(id)),
    [],
    'acknowledged changes are there',
  )
  // Whatever else the machine does only adds to a time.
  const soonest = Math.min(...starts.slice(1))
  assert.ok(soonest <= MOST_START_MS, `after a kill no start took less than ${soonest} ms`)
  t.diagnostic(
    `${answered.size} answered, ${total('inDoubt')} in doubt, ${made.size} changes, starts of ${Math.round(soonest)} to ${Math.round(Math.max(...starts))} ms`,
  )
})

test('T02: killed at each named moment, a call is booked once: in doubt if open, as reported if it was over', async (t) => {
  const dataDir = join(scratch(t), 'data')
  const upstream = await upstreamFor(t)
  const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })

  const refused = await gateway.chat('no-such-model', 'before anything is booked')
  assert.equal(refused.status, 404)
  // By what is said, not by the model's name: a held amount needs a price, and a price a known model.
  const behaves = (text: string, behaviour: string) =>
    upstream.script({ match: (row) => row.rawBody.includes(`"${text}"`), behaviour })
  const responded = await gateway.chat(MODEL, 'responded')
  assert.equal(responded.status, 200)
  behaves('failed', 'status=400')
  assert.equal((await gateway.chat(MODEL, 'failed')).status, 400)
  behaves('sent', 'hang-headers')
  const sent = assert.rejects(gateway.chat(MODEL, 'sent', { max_tokens: 50 }))
  await until(() => upstream.ledger.rows.length === 3, 'it was sent')
  behaves('first byte', 'stall=0')
  const unheard = assert.rejects(openStream(gateway.url, MODEL, 'first byte'))
  await until(() => upstream.ledger.rows.at(3)?.status === 200, 'its head has come')
  behaves('mid-stream', 'chunks=5, stall=3')
  const midStream = await openStream(gateway.url, MODEL, 'mid-stream')
  // The upstream forgets the end of the stream: the finish reason and the usage were seen.
  behaves('usage seen', 'no-done')
  const usageSeen = await openStream(gateway.url, MODEL, 'usage seen')
  assert.match((await usageSeen.over).text, /"finish_reason":"stop"/)
  await until(() => midStream.text().split('data: ').length > 2, 'the stream is in its middle')
  await until(() => upstream.ledger.rows.length === 6, 'all of them are upstream')

  const before = new Map(attemptsIn(dataDir).map((a) => [a.attempt, a]))
  gateway.process.kill('SIGKILL')
  await sent
  await unheard
  assert.equal((await midStream.over).whole, false, 'a killed stream does not look whole')
  await gateway.ended

  const again = await spawnGateway(t, { dataDir, upstream: upstream.url })
  const after = attemptsIn(dataDir)
  const outcomes = (of: Iterable<BookedAttempt>) => [...of].map((a) => a.outcome)
  assert.deepEqual(outcomes(before.values()), ['done', 'failed', null, null, null, 'done'])
  assert.deepEqual(outcomes(after), ['done', 'failed', 'in-doubt', 'in-doubt', 'in-doubt', 'done'])
  for (const a of after) {
    if (a.outcome !== 'in-doubt') assert.deepEqual(a, before.get(a.attempt), 'what was closed stays as it was')
    else assert.ok(a.held > 0n && a.cost === a.held, 'in doubt at its held amount')
  }
  const rows = (await again.admin('GET', 'usage?groupBy=upstream')).rows
  assert.equal(rows[0].inDoubt, 3)
  await again.chat(MODEL, 'after')
  const later = attemptsIn(dataDir)
  assert.equal(later.length, after.length + 1, 'a second start settles nothing twice')
})

for (const stream of [false, true]) {
  test(`an answer under an Idempotency-Key, ${stream ? 'streamed' : 'in one piece'}, is kept once its end was seen: killed at that moment, it is not made again`, async (t) => {
    const dataDir = scratch(t)
    const upstream = await upstreamFor(t)
    const first = await spawnGateway(t, { dataDir, upstream: upstream.url })
    const ask = (gateway: Spawned) =>
      gateway.chat(MODEL, 'once', { stream }, { 'idempotency-key': 'order-7' }).finally(() => {
        if (gateway === first) first.process.kill('SIGKILL')
      })
    const answer = await ask(first)
    assert.equal(answer.status, 200, answer.text)
    await first.ended
    const again = await ask(await spawnGateway(t, { dataDir, upstream: upstream.url }))
    assert.equal(again.headers['idempotent-replayed'], 'true', again.text)
    assert.equal(again.text, answer.text)
    assert.equal(upstream.ledger.rows.length, 1)
  })
}
