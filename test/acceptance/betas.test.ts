/**
 * A58: what a first-party client asks for in its beta header reaches its own vendor whole, and others only as far as they
 * take it; what was left out is told, and an administrator can add to it while the gateway runs.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Running, runGateway } from '../running/index.ts'

/** As a coding agent sends them; the last is nobody's. */
const BETAS = [
  'claude-code-20250219',
  'interleaved-thinking-2025-05-14',
  'context-management-2025-06-27',
  'effort-2025-11-24',
  'fine-grained-tool-streaming-2025-05-14',
  'oauth-2025-04-20',
  'brand-new-2026-12-01',
]

const ask = (gateway: Running, model: string, stream: boolean) =>
  gateway.send(
    '/v1/messages',
    { model, stream, max_tokens: 50, messages: [{ role: 'user', content: 'hi' }] },
    { 'anthropic-version': '2023-06-01', 'anthropic-beta': BETAS.join(', ') },
  )

const configure = (gateway: Running, provider: string, path: string, options: object) =>
  gateway.admin('PUT', 'upstreams/claude', {
    provider,
    baseUrl: gateway.upstream.url + path,
    options,
    credentials: [{ id: 'main', secret: 'key-of-this-test' }],
  })

const header = (gateway: Running) => gateway.upstream.ledger.rows.at(-1)?.headers['anthropic-beta']

for (const stream of [false, true]) {
  test(`A58: its own vendor gets every beta, as it came${stream ? ', streamed' : ''}`, async (t) => {
    const gateway = await runGateway(t)
    await configure(gateway, 'anthropic', '', {})
    const answer = await ask(gateway, 'claude/claude-sonnet-4-5', stream)
    assert.equal(answer.status, 200, answer.text)
    assert.equal(header(gateway), BETAS.join(', '))
    assert.equal(answer.headers['x-stockyard-unsupported'], undefined)
  })

  test(`A58: another vendor gets those that it takes, and the rest is told${stream ? ', streamed' : ''}`, async (t) => {
    const gateway = await runGateway(t)
    await configure(gateway, 'azure-foundry', '', {})
    const answer = await ask(gateway, 'claude/claude-sonnet-4-5', stream)
    assert.equal(answer.status, 200, answer.text)
    assert.equal(header(gateway), 'interleaved-thinking-2025-05-14,context-management-2025-06-27,effort-2025-11-24')
    const told = String(answer.headers['x-stockyard-unsupported'])
    for (const lost of ['claude-code-20250219', 'oauth-2025-04-20', 'brand-new-2026-12-01']) {
      assert.ok(told.includes(`anthropic-beta: ${lost}`), told)
    }
    // From the next request on.
    await configure(gateway, 'azure-foundry', '', { betas: ['brand-new-2026-12-01'] })
    await ask(gateway, 'claude/claude-sonnet-4-5', stream)
    assert.match(header(gateway) ?? '', /,brand-new-2026-12-01$/)
  })
}

test('A58: a route may try its own vendor and then another, and each gets its part', async (t) => {
  const gateway = await runGateway(t)
  await configure(gateway, 'azure-foundry', '', {})
  const credentials = [{ id: 'main', secret: 'sk-first' }]
  await gateway.admin('PUT', 'upstreams/first', { provider: 'anthropic', baseUrl: gateway.upstream.url, credentials })
  await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: {} })
  await gateway.admin('PUT', 'routes/both', {
    targets: ['first', 'claude'].map((upstream) => ({ upstream, model: 'claude-sonnet-4-5' })),
  })
  gateway.upstream.script({ match: (row) => row.path === '/v1/messages', behaviour: 'status=529', times: 1 })
  const answer = await ask(gateway, 'both', true)
  assert.equal(answer.status, 200, answer.text)
  const sent = gateway.upstream.ledger.rows.map(({ headers }) => headers['anthropic-beta'])
  assert.equal(sent[0], BETAS.join(', '))
  assert.equal(sent.at(-1), 'interleaved-thinking-2025-05-14,context-management-2025-06-27,effort-2025-11-24')
})
