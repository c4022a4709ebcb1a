import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { collect } from './receive.ts'

const arriving = (): PassThrough & IncomingMessage => Object.assign(new PassThrough(), { headers: {} }) as never

test('T60: a body whose last piece goes over the limit is refused, and never taken for a good one', async () => {
  const request = arriving()
  let taken = 0
  const collected = collect(request, 10, () => taken++)
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
