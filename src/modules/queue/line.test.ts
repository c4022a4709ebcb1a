import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Line } from './line.ts'

function served(order: string[]) {
  return (tenant: string, priority = 1) => ({ tenant, priority, go: () => void order.push(tenant) })
}

test('A114: a tenant that floods the line is served in turns with the others', () => {
  const line = new Line()
  const order: string[] = []
  const waiter = served(order)
  line.running = 1
  for (let i = 0; i < 100; i++) line.join(waiter('flood'))
  assert.equal(line.join(waiter('quiet')), 1, 'behind one of theirs, not behind a hundred')
  line.join(waiter('quiet'))
  line.join(waiter('third'))
  for (let i = 0; i < 6; i++) {
    line.running--
    line.advance(1)
  }
  assert.deepEqual(order.slice(0, 3).sort(), ['flood', 'quiet', 'third'])
  assert.deepEqual(order.slice(3, 5).sort(), ['flood', 'quiet'])
})

test('a higher priority goes first; who leaves is not served; what is over is forgotten', () => {
  const line = new Line()
  const order: string[] = []
  const waiter = served(order)
  line.running = 1
  const gone = waiter('gone')
  line.join(waiter('low', 0))
  line.join(gone)
  line.join(waiter('normal'))
  line.join(waiter('high', 2))
  line.leave(gone)
  line.advance(4)
  assert.deepEqual(order, ['high', 'normal', 'low'])
  assert.equal(line.waiting, 0)
  assert.equal(line.running, 4)
})
