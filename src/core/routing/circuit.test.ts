/** Who may close a half-open circuit, and who may not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BreakerPolicy, Circuit } from './circuit.ts'

const policy: BreakerPolicy = {
  failureRatio: 0.5,
  minimumCalls: 2,
  windowMs: 30_000,
  cooldownMs: 1_000,
  credentialCooldownMs: 1_000,
  maxRetryAfterMs: 60_000,
  pacing: true,
}

/** Open until 1,000, with a call from before that is still running. */
function opened() {
  const circuit = new Circuit()
  const older = {}
  assert.ok(circuit.enter(0, older))
  for (const call of [{}, {}]) {
    assert.ok(circuit.enter(0, call))
    circuit.failed(0, policy, 'upstream_error', call)
  }
  assert.equal(circuit.state(999), 'open')
  return { circuit, older }
}

test('A74: an older call that its client leaves does not free the place of the probe', () => {
  const { circuit, older } = opened()
  const probe = {}
  assert.ok(circuit.enter(1_000, probe))
  circuit.leave(older)
  assert.ok(!circuit.enter(1_001, {}), 'the probe is still the only one')
  circuit.leave(probe)
  assert.ok(circuit.enter(1_002, {}), 'now another may find out')
})

test('A74: while a probe runs only its own end decides', () => {
  for (const end of ['succeeded', 'failed'] as const) {
    const { circuit, older } = opened()
    const probe = {}
    assert.ok(circuit.enter(1_000, probe))
    if (end === 'succeeded') circuit.succeeded(1_001, policy.windowMs, older)
    else circuit.failed(1_001, policy, 'upstream_error', older)
    assert.equal(circuit.state(1_001), 'half-open')
    assert.ok(!circuit.enter(1_001, {}))
    circuit.succeeded(1_002, policy.windowMs, probe)
    assert.equal(circuit.state(1_002), 'closed')
  }
})

test('A74: a probe that is older than the next rest frees nothing of it', () => {
  const { circuit } = opened()
  const old = {}
  assert.ok(circuit.enter(1_000, old))
  circuit.open(5_000, 'and it said when')
  const probe = {}
  assert.ok(circuit.enter(5_000, probe))
  circuit.leave(old)
  assert.ok(!circuit.enter(5_001, {}))
})
