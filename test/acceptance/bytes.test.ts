/**
 * Odd bytes through the whole product, both ways: line ends, marks and broken text of an upstream, and bodies of
 * clients that are packed, lie about their length or never say it. And what a fresh start leaves open.
 */
import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { type Answer, exchange, runGateway, streamedText } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'
const stream = { stream: true }

/** A relayed stream keeps the upstream's line ends and mark; read here as the specification says. */
function read(answer: Answer): Answer {
  const lines = answer.text.replace(/^\ufeff/, '').split(/\r\n|\r|\n/)
  return { ...answer, data: lines.flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : [])) }
}

for (const behaviour of [
  'crlf',
  'cr',
  'comments',
  'bom',
  'split=1',
  'split=7',
  'split-utf8',
  'crlf+bom+comments+split=3',
]) {
  test(`T46: a stream with ${behaviour} says the same, relayed and translated, and is booked as reported`, async (t) => {
    const gateway = await runGateway(t, { upstreams: { openai: 'openai', anthropic: 'anthropic' } })
    for (const model of [MODEL, 'anthropic/claude-haiku-4-5']) {
      const plain = await gateway.chat(`${model}+text=wörter 🐄 漢字`, 'hello', { ...stream, max_tokens: 100 })
      const more = { ...stream, max_tokens: 100 }
      const odd = read(await gateway.chat(`${model}+text=wörter 🐄 漢字+${behaviour}`, 'hello', more))
      assert.equal(odd.status, 200, odd.text)
      if (!behaviour.includes('utf8')) assert.equal(streamedText(odd), streamedText(plain), model)
      assert.ok(streamedText(odd).length > 0)
      assert.ok(!streamedText(odd).includes('\ufffd'), model)
      assert.equal(odd.data.at(-1), '[DONE]')
    }
    for (const row of await gateway.usage('upstream')) assert.equal(Number(row.estimated), 0)
  })
}

test('T47: text that is not UTF-8 ends no stream early and breaks no neighbor', async (t) => {
  const gateway = await runGateway(t, { upstreams: { openai: 'openai', anthropic: 'anthropic' } })
  for (const model of [MODEL, 'anthropic/claude-haiku-4-5']) {
    for (const more of [{}, stream]) {
      const answer = await gateway.chat(`${model}+bad-utf8`, 'hello', { ...more, max_tokens: 100 })
      assert.ok(answer.status === 200 || answer.status === 502, answer.text)
      if (answer.status === 200 && 'stream' in more) {
        assert.equal(answer.data.at(-1), '[DONE]')
        for (const data of answer.data.slice(0, -1)) JSON.parse(data)
      }
    }
  }
  assert.equal((await gateway.chat(MODEL, 'hello')).status, 200)
})

test('T43: garbage, half a JSON and wrong content types are a 502 or an error event, and none of it is passed on', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  for (const behaviour of ['garbage=http', 'garbage', 'bad-json', 'html', 'html-error']) {
    const answer = await gateway.chat(`${MODEL}+${behaviour}`, 'hello')
    assert.equal(answer.status, 502, `${behaviour}: ${answer.text}`)
    assert.ok(answer.json.error.code, 'it is an error of the dialect')
    assert.ok(!/<html|<!doctype/i.test(answer.text), behaviour)
  }
})

/** Writes bytes, and gives what came until the connection closed, or for a second. */
function raw(url: string, parts: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(Number(new URL(url).port), '127.0.0.1', () => {
      for (const part of parts) socket.write(part)
    })
    let text = ''
    socket.setTimeout(1_000, () => socket.destroy())
    socket.on('data', (part) => {
      text += part.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}

test('T60: packed, lying and endless bodies are refused on what really arrives, and nothing goes upstream', async (t) => {
  const gateway = await runGateway(t, { bodyLimitBytes: 100_000 })
  const bomb = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: '0'.repeat(5_000_000) }] })
  for (const [encoding, bytes] of [
    ['gzip', gzipSync(bomb)],
    ['br', brotliCompressSync(bomb)],
  ] as const) {
    const answer = await exchange(`${gateway.url}/v1/chat/completions`, 'POST', bytes, { 'content-encoding': encoding })
    assert.ok(answer.status >= 400 && answer.status < 500, `${encoding}: ${answer.status} ${answer.text}`)
  }
  const { host } = new URL(gateway.url)
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n`
  const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
  assert.match(
    await raw(gateway.url, [`${head}Transfer-Encoding: chunked\r\n\r\n`, ...Array(20).fill(chunk)]),
    /^HTTP\/1\.1 413 /,
  )
  assert.match(await raw(gateway.url, [`${head}Content-Length: 99999999999\r\n\r\n{`]), /^HTTP\/1\.1 413 /)
  const body = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hello' }] })
  const tooMuch = await raw(gateway.url, [`${head}Content-Length: ${body.length - 2}\r\n\r\n${body}`])
  assert.match(tooMuch, /^HTTP\/1\.1 400 /)
  const tooLittle = await raw(gateway.url, [`${head}Content-Length: ${body.length + 2}\r\n\r\n${body}`])
  assert.ok(tooLittle === '' || /^HTTP\/1\.1 4/.test(tooLittle), 'the rest is waited for, not made up')
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('T84: a fresh start: files for their owner only, no open route but health, nothing for strangers', async (t) => {
  const gateway = await runGateway(t)
  await gateway.chat(MODEL, 'hello')
  assert.equal(statSync(gateway.dataDir).mode & 0o077, 0)
  const names = readdirSync(gateway.dataDir)
  assert.ok(names.length > 3)
  for (const name of names) assert.equal(statSync(join(gateway.dataDir, name)).mode & 0o077, 0, name)
  assert.equal(new URL(gateway.url).hostname, '127.0.0.1')
  const stranger = { origin: 'https://elsewhere.example' }
  for (const path of ['/metrics', '/api/health', '/api/openapi.json', '/v1/models']) {
    assert.equal((await exchange(gateway.url + path, 'GET', undefined, stranger)).status, 401, path)
  }
  for (const path of [
    '/debug',
    '/debug/pprof',
    '/api/debug',
    '/.env',
    '/inspector',
    '/json/list',
    '/swagger',
    '/docs',
  ]) {
    assert.equal((await exchange(gateway.url + path, 'GET')).status, 404, path)
  }
  for (const path of ['/health/live', '/health/ready']) {
    const { status, json } = await exchange(gateway.url + path, 'GET', undefined, stranger)
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(json), ['status'], 'a bare status')
  }
  for (const key of ['admin', 'sk-1234', 'password', 'changeme', 'stockyard', 'null', 'undefined', '']) {
    const answer = await exchange(`${gateway.url}/api/upstreams`, 'GET', undefined, { authorization: `Bearer ${key}` })
    assert.equal(answer.status, 401, key)
  }
})
