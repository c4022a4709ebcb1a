/**
 * A2: what a call costs when it goes wrong, written down for every way in, every family of upstreams and every fault, before
 * and after the first content: never for an answer of which nothing came, and never for the text of an error.
 */
import assert from 'node:assert/strict'
import http from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { type Asking, everyRoute } from '../running/asking.ts'
import { type Running, runGateway, until } from '../running/index.ts'

const FAMILIES = {
  openai: 'openai/gpt-4o-mini',
  anthropic: 'anthropic/claude-sonnet-4-5',
  gemini: 'gemini/gemini-2.5-flash',
} as const
type Family = keyof typeof FAMILIES

/** How a row of the ledger closes: whose figures, how much came, and what is said to have become of the call. */
type Charge = 'nothing' | 'head' | 'input' | 'part' | 'whole'
const CHARGES: Readonly<
  Record<Charge, { readonly sources: readonly string[]; readonly output: readonly [number, number]; outcome: string }>
> = {
  nothing: { sources: ['none'], output: [0, 0], outcome: 'failed' },
  // Anthropic says with an answer's head what it has counted so far.
  head: { sources: ['provider'], output: [1, 1], outcome: 'failed' },
  input: { sources: ['estimated'], output: [0, 0], outcome: 'client_cancel' },
  part: { sources: ['estimated', 'provider'], output: [1, 90], outcome: 'partial' },
  whole: { sources: ['estimated'], output: [95, 105], outcome: 'done' },
}

interface Fault {
  readonly behaviour: string
  /** Of an answer that is not streamed; absent: it has no such moment. */
  readonly body?: Charge
  /** `as-told`: what came before it in the same bytes reached nobody if the client was told of an error instead. */
  readonly stream?: Charge | 'as-told' | Readonly<Record<Family, Charge>>
  /** The client hangs up as soon as the upstream was asked. */
  readonly leaves?: true
}
const FAULTS: Readonly<Record<string, Fault>> = {
  'the client is gone before anything came': {
    behaviour: 'delay=60000',
    body: 'input',
    stream: 'input',
    leaves: true,
  },
  'no answer in time': { behaviour: 'hang-headers', body: 'nothing', stream: 'nothing' },
  'a head, and no content in time': { behaviour: 'stall=0', stream: 'nothing' },
  'a first event, and then silence': {
    behaviour: 'stall=1',
    stream: { openai: 'nothing', anthropic: 'head', gemini: 'part' },
  },
  'content, and then silence': { behaviour: 'stall=12, pace=5', stream: 'part' },
  'an error status': {
    behaviour: 'status=500, error-message=many words that nobody pays for',
    body: 'nothing',
    stream: 'nothing',
  },
  'an error instead of an answer, with status 200': { behaviour: 'inband-error=0', body: 'nothing', stream: 'nothing' },
  'an error after content': { behaviour: 'inband-error=12, pace=5', stream: 'part' },
  'content and an error in the same bytes': { behaviour: 'inband-error=12, no-usage', stream: 'as-told' },
  'a page instead of an answer': { behaviour: 'html', body: 'nothing', stream: 'nothing' },
  'a broken body': { behaviour: 'bad-json, no-usage', body: 'nothing' },
  'an end before content': { behaviour: 'truncate=0', body: 'nothing', stream: 'nothing' },
  'an end after content': { behaviour: 'truncate=12, pace=5', stream: 'part' },
  'a reset after content': { behaviour: 'reset=12, pace=5', stream: 'part' },
  'an answer without usage': { behaviour: 'no-usage, size=400', body: 'whole', stream: 'whole' },
}

const AT_ONCE = 8

/** Sends, and leaves when the upstream has it if it is to. Resolves with its status when the answer is over. */
function ask(gateway: Running, path: string, body: object, mark: string, leaves: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.request(gateway.url + path, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', 'x-stockyard-tags': mark },
    })
    request.on('error', (error) => (leaves ? resolve(0) : reject(error)))
    request.on('response', (response) => {
      // A format without an error of its own in streams ends with its connection.
      response.on('error', () => resolve(response.statusCode ?? 0))
      response.on('end', () => resolve(response.statusCode ?? 0))
      response.resume()
    })
    request.end(JSON.stringify(body))
    if (!leaves) return
    const asked = () => gateway.upstream.ledger.rows.some((row) => row.rawBody.includes(mark))
    until(asked, `${mark} is asked`).then(() => request.destroy(), reject)
  })
}

interface Cell {
  readonly name: string
  readonly mark: string
  readonly route: Asking
  readonly family: Family
  readonly fault: Fault
  readonly charge: Charge | 'as-told'
}

function cells(): Cell[] {
  const all: Cell[] = []
  for (const route of everyRoute().filter(({ echoes }) => echoes)) {
    for (const family of Object.keys(FAMILIES) as Family[]) {
      // The legacy format has no translation: it is asked of upstreams that speak it.
      if (route.path('x') === '/v1/completions' && family !== 'openai') continue
      for (const [name, fault] of Object.entries(FAULTS)) {
        const stated = route.stream ? fault.stream : fault.body
        const charge = typeof stated === 'object' ? stated[family] : stated
        if (charge === undefined) continue
        // Its streams begin with text.
        const begins = name === 'a first event, and then silence' && route.path('x') === '/v1/completions'
        all.push({
          name: `${route.name} → ${family}: ${name}`,
          mark: `cell-${all.length}.`,
          route,
          family,
          fault,
          charge: begins ? 'part' : charge,
        })
      }
    }
  }
  return all
}

test('A2: for every route, family and fault the charge is the one that is written down', async (t) => {
  const gateway = await runGateway(t, { upstreams: { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' } })
  for (const id of ['breakers', 'failover']) await gateway.admin('PUT', `modules/${id}`, { mode: 'off' })
  const timeouts = { headersStreamedMs: 4_000, headersUnstreamedMs: 4_000, firstContentMs: 4_000, idleMs: 4_000 }
  for (const [family, name] of Object.entries(FAMILIES)) {
    const [upstream, model] = name.split('/')
    await gateway.admin('PUT', `routes/${family}`, { targets: [{ upstream, model }], timeouts })
  }
  const all = cells()
  for (const [name, { behaviour }] of Object.entries(FAULTS)) {
    const marks = all.filter((cell) => cell.fault.behaviour === behaviour).map(({ mark }) => mark)
    assert.ok(marks.length >= 10, name)
    gateway.upstream.script({
      match: (row) => marks.some((mark) => row.rawBody.includes(mark)),
      behaviour: `${behaviour}, chunks=20`,
      times: 1e6,
    })
  }
  // Those that wait do so together, and keep nobody from being in time.
  const waiting = all.filter(({ fault }) => /hang|stall/.test(fault.behaviour))
  const told = new Map<Cell, number>()
  const send = async (cell: Cell): Promise<void> => {
    const { route, family, mark, fault } = cell
    const body = route.body(family, `tell me much, ${mark}`)
    told.set(cell, await ask(gateway, route.path(family), body, mark, fault.leaves === true))
  }
  await Promise.all(waiting.map(send))
  const others = all.filter((cell) => !waiting.includes(cell))
  for (let i = 0; i < others.length; i += AT_ONCE) await Promise.all(others.slice(i, i + AT_ONCE).map(send))
  const db = new DatabaseSync(join(gateway.dataDir, 'ledger.db'), { readOnly: true })
  const closed = () =>
    db
      .prepare("SELECT tags, usage_source, input, output, cost, outcome FROM ledger WHERE kind = 'closed'")
      .all() as Record<string, string | number | null>[]
  await until(() => closed().length >= all.length, 'all are booked')
  const rows = closed()
  db.close()
  assert.equal(rows.length, all.length, 'one row for each')
  const wrong: string[] = []
  for (const cell of all) {
    const { name, mark } = cell
    const charge = cell.charge !== 'as-told' ? cell.charge : (told.get(cell) ?? 0) >= 400 ? 'nothing' : 'part'
    const row = rows.find(({ tags }) => String(tags).includes(mark))
    const { sources, output, outcome } = CHARGES[charge]
    const [least, most] = output
    const tokens = Number(row?.output ?? 0)
    const right =
      row !== undefined &&
      sources.includes(String(row.usage_source)) &&
      tokens >= least &&
      tokens <= most &&
      row.outcome === outcome &&
      Number(row.cost) > 0 === (charge !== 'nothing') &&
      Number(row.input ?? 0) > 0 === (charge !== 'nothing')
    if (!right) wrong.push(`${name}: ${charge}, not ${JSON.stringify(row)}`)
  }
  assert.deepEqual(wrong, [])
})
