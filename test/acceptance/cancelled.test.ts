/** A client that leaves is booked for what it was sent, on every route and whatever vendor answers: once, and not for nothing. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { everyRoute } from '../running/asking.ts'
import { type Running, runGateway, until } from '../running/index.ts'

const FAMILIES = {
  openai: 'openai/gpt-4o-mini',
  anthropic: 'anthropic/claude-sonnet-4-5',
  gemini: 'gemini/gemini-2.5-flash',
} as const

/** Sends, and hangs up with the first bytes of the answer, or when the upstream has it. */
function leave(gateway: Running, path: string, body: object, afterBytes: boolean): Promise<void> {
  const before = gateway.upstream.ledger.rows.length
  return new Promise((resolve, reject) => {
    const request = http.request(gateway.url + path, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json' },
    })
    const go = (): void => {
      request.destroy()
      resolve()
    }
    request.on('error', () => resolve())
    request.on('response', (response) => {
      response.on('error', () => {})
      response.on('data', () => afterBytes && go())
      response.on('end', () =>
        reject(new Error(`${path} ${JSON.stringify(body)}: ${response.statusCode} it ended before the client left`)),
      )
    })
    request.end(JSON.stringify(body))
    if (!afterBytes) void gateway.upstream.until((u) => u.ledger.rows.length > before).then(go)
  })
}

test('A1: on every route and at every family of upstreams, who hangs up is booked once, for the prompt and for what came', async (t) => {
  const gateway = await runGateway(t, { upstreams: { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' } })
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  let left = 0
  for (const route of everyRoute().filter(({ echoes }) => echoes)) {
    for (const [family, model] of Object.entries(FAMILIES)) {
      // The legacy format has no translation: it is asked of upstreams that speak it.
      if (route.path(model) === '/v1/completions' && family !== 'openai') continue
      const named = `${model}+${route.stream ? 'chunks=400+pace=20' : 'delay=8000'}`
      await leave(gateway, route.path(named), route.body(named, 'tell me much'), route.stream)
      left++
      const what = `${route.name} → ${family}`
      type Row = { attempts: number; tokens: { input: number; output: number } }
      let rows: Row[] = []
      await until(
        async () => {
          rows = (await gateway.usage('upstream,hour')) as unknown as Row[]
          return rows.reduce((sum, { attempts }) => sum + Number(attempts), 0) >= left
        },
        `${what} is booked`,
        5_000,
      )
      assert.equal(
        rows.reduce((sum, { attempts }) => sum + Number(attempts), 0),
        left,
        `${what}: one row`,
      )
      await until(
        async () => (await gateway.admin('GET', 'logs?limit=200')).entries.length >= left,
        `${what} is logged`,
        5_000,
      )
      const [entry] = (await gateway.admin('GET', 'logs?limit=1')).entries
      assert.equal(entry.outcome, 'client_cancel', what)
      assert.ok(entry.inputTokens > 0, `${what}: the prompt`)
      if (route.stream) assert.ok(entry.outputTokens > 0, `${what}: what was relayed`)
      else assert.equal(entry.outputTokens, 0, `${what}: nothing came`)
    }
  }
  assert.ok(left >= 24, String(left))
})
