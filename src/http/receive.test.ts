import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { collect, readJsonFairly } from './receive.ts'

const arriving = (): PassThrough & IncomingMessage => Object.assign(new PassThrough(), { headers: {} }) as never

test('T60: a body whose last piece goes over the limit is refused, and never taken for a good one', async () => {
  const request = arriving()
  let taken = 0
  const collected = collect(request, 10, () => void taken++)
  request.write('123456')
  request.end('789012')
  await assert.rejects(collected, { code: 'request_too_large' })
  await new Promise(setImmediate)
  assert.equal(taken, 0)
})

test('a body within the limit is handed over whole', async () => {
  const request = arriving()
  let text = ''
  const collected = collect(request, 10, (body) => {
    text = body.toString()
  })
  request.write('12345')
  request.end('67890')
  await collected
  assert.equal(text, '1234567890')
})

test('A15: a large body is put together while it comes, with or without a length, and judged while others have their turn', async () => {
  const sent = Buffer.from(
    JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Grüße '.repeat(400_000) }] }),
  )
  for (const headers of [{}, { 'content-length': String(sent.length) }]) {
    const request = Object.assign(arriving(), { headers, complete: true })
    let turns = 0
    let over = false
    const others = (): void => {
      turns++
      if (!over) setImmediate(others)
    }
    let received: Awaited<ReturnType<typeof readJsonFairly>> | undefined
    let before = 0
    const collected = collect(request, 10_000_000, async (body) => {
      assert.deepEqual(body, sent)
      before = turns
      received = await readJsonFairly(body, undefined)
    })
    setImmediate(others)
    for (let at = 0; at < sent.length; at += 65_536) request.write(sent.subarray(at, at + 65_536))
    request.end()
    await collected.finally(() => {
      over = true
    })
    assert.ok(turns - before >= 2, `${turns - before} turns between its steps`)
    assert.deepEqual(received?.json, JSON.parse(sent.toString()))
  }
})

test('a large body that is wrong is refused as a small one is', async () => {
  const bad = Buffer.from(`{"model":"m","a":"${'x'.repeat(2_000_000)}",}`)
  await assert.rejects(async () => await readJsonFairly(bad, undefined), { code: 'invalid_json' })
  const cut = Buffer.concat([Buffer.from(`{"a":"${'x'.repeat(2_000_000)}`), Buffer.from([0xc3]), Buffer.from('"}')])
  await assert.rejects(async () => await readJsonFairly(cut, undefined), { code: 'invalid_json' })
})
