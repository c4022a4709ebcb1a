/**
 * Faults beside the sixteen, of the same kinds, as raw bytes: what a client must see of each, streamed and not, and how often
 * the upstream may be called for it.
 */
import assert from 'node:assert/strict'
import net, { type AddressInfo, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import zlib from 'node:zlib'
import { type Answer, type Running, runGateway, streamedText } from '../running/index.ts'

const MODEL = 'gpt-4o-mini'
const WHOLE = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: MODEL,
  choices: [{ index: 0, message: { role: 'assistant', content: 'from the odd one' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
})
const chunk = (choices: object[], more: object = {}): string =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: MODEL, choices, ...more })}\n\n`
const said = (content: string): string =>
  chunk([{ index: 0, delta: { role: 'assistant', content }, finish_reason: null }])
const finish = chunk([{ index: 0, delta: {}, finish_reason: 'stop' }])
const usage = chunk([], { usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } })
const DONE = 'data: [DONE]\n\n'
const STREAM = said('from the odd one') + finish + usage + DONE

type Bytes = string | Buffer
const head = (status: string, headers: Readonly<Record<string, string>>): string =>
  `HTTP/1.1 ${status}\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`
const sized = (body: Bytes, headers: Readonly<Record<string, string>> = {}, status = '200 OK'): Buffer =>
  Buffer.concat([
    Buffer.from(
      head(status, {
        'content-type': 'application/json',
        ...headers,
        'content-length': String(Buffer.byteLength(body)),
      }),
    ),
    Buffer.from(body),
  ])
const events = (body: Bytes, headers: Readonly<Record<string, string>> = {}): Buffer =>
  sized(body, { 'content-type': 'text/event-stream', ...headers })
const chunked = (body: string, trailer = ''): string =>
  `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n${trailer}\r\n`
const error = (status: string, headers: Readonly<Record<string, string>> = {}): Buffer =>
  sized('{"error":{"message":"no","type":"server_error"}}', headers, status)

/** `odd`: its own answer is whole; `two`: the next one's is; `cut`: content, then an error; or a status. */
type Sees = 'odd' | 'two' | 'cut' | number
interface Case {
  readonly name: string
  readonly bytes: (stream: boolean, call: number) => Bytes | undefined
  readonly sees: Sees | { readonly streamed: Sees; readonly unstreamed: Sees }
  readonly calls: number
}

const whole = (stream: boolean): Buffer => (stream ? events(STREAM) : sized(WHOLE))
const always = (name: string, bytes: Bytes, sees: Case['sees'], calls: number): Case => ({
  name,
  bytes: () => bytes,
  sees,
  calls,
})
const streamedOnly = (name: string, body: string, streamed: Sees, calls = 2): Case => ({
  name,
  bytes: (stream) => (stream ? events(body) : sized(WHOLE)),
  sees: { streamed, unstreamed: 'odd' },
  calls,
})

const CASES: readonly Case[] = [
  always('429, Retry-After: 0', error('429 Too Many', { 'retry-after': '0' }), 'two', 2),
  always('429, Retry-After: -5', error('429 Too Many', { 'retry-after': '-5' }), 'two', 2),
  always('429, Retry-After: in 3,000 years', error('429 Too Many', { 'retry-after': '99999999999' }), 'two', 1),
  always('429, Retry-After: soon', error('429 Too Many', { 'retry-after': 'soon' }), 'two', 2),
  always('429, Retry-After: 1e3', error('429 Too Many', { 'retry-after': '1e3' }), 'two', 2),
  always(
    '429, a date that is over',
    error('429 Too Many', { 'retry-after': 'Thu, 01 Jan 1970 00:00:00 GMT' }),
    'two',
    2,
  ),
  always('503, two times that disagree', error('503 No', { 'retry-after': '3600', 'retry-after-ms': '10' }), 'two', 2),
  always('529', error('529 Overloaded'), 'two', 2),
  always('408', error('408 Timeout'), 'two', 2),
  always('425', error('425 Too Early'), 'two', 2),
  always('409', error('409 Conflict'), 'two', 2),
  always(
    '502 with HTML',
    sized('<html>bad gateway</html>', { 'content-type': 'text/html' }, '502 Bad Gateway'),
    'two',
    2,
  ),
  always('an unknown status', error('799 Strange'), 'two', 2),
  always('200 and nothing', sized(''), 'two', 2),
  always('204', head('204 No Content', {}), 'two', 2),
  always('200 and an error object', sized('{"error":{"message":"boom","type":"server_error"}}'), 'two', 2),
  always('200 and an error text', sized('{"error":"boom"}'), 'two', 2),
  always('200 and null', sized('null'), 'two', 2),
  always('200 and []', sized('[]'), 'two', 2),
  always('200 and {}', sized('{}'), 'two', 2),
  always('200 and no choice', sized('{"id":"c","object":"chat.completion","choices":[]}'), 'two', 2),
  always('200 and plain text', sized('service is starting', { 'content-type': 'text/plain' }), 'two', 2),
  always('a body where a stream was asked for', sized(WHOLE), 'odd', 1),
  always('JSON that calls itself a stream', events(WHOLE), { streamed: 'two', unstreamed: 'odd' }, 2),
  always('a stream that calls itself JSON', sized(STREAM), 'two', 2),
  always('a redirect', sized('', { location: 'http://127.0.0.1:9/' }, '307 Temporary Redirect'), 'two', 1),
  {
    name: 'hints first',
    bytes: (s) =>
      Buffer.concat([
        Buffer.from('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'),
        whole(s),
      ]),
    sees: 'odd',
    calls: 1,
  },
  {
    name: 'chunks and a trailer',
    bytes: (stream) =>
      head('200 OK', {
        'content-type': stream ? 'text/event-stream' : 'application/json',
        'transfer-encoding': 'chunked',
        trailer: 'x-sum',
      }) + chunked(stream ? STREAM : WHOLE, 'x-sum: 7\r\n'),
    sees: 'odd',
    calls: 1,
  },
  {
    name: 'a length that is too short',
    bytes: (s) => String(whole(s)).replace(/content-length: \d+/, 'content-length: 40'),
    sees: 'two',
    calls: 2,
  },
  {
    name: 'a length that is too long',
    bytes: (s) => String(whole(s)).replace(/content-length: \d+/, 'content-length: 4000'),
    sees: { streamed: 'odd', unstreamed: 'two' },
    calls: 2,
  },
  {
    name: 'a length and chunks',
    bytes: (s) => String(whole(s)).replace('\r\n\r\n', '\r\ntransfer-encoding: chunked\r\n\r\n'),
    sees: 'two',
    calls: 2,
  },
  {
    name: 'gzip that is cut',
    bytes: (stream) => {
      const packed = zlib.gzipSync(stream ? STREAM : WHOLE)
      return (stream ? events : sized)(packed.subarray(0, 30), { 'content-encoding': 'gzip' })
    },
    sees: 'two',
    calls: 2,
  },
  { name: 'nothing at all, and it hangs up', bytes: () => undefined, sees: 'two', calls: 2 },
  {
    name: 'once nothing, then an answer',
    bytes: (s, call) => (call === 1 ? undefined : whole(s)),
    sees: 'odd',
    calls: 2,
  },
  streamedOnly('an end and nothing before it', DONE, 'two'),
  streamedOnly(
    'a role and an end',
    chunk([{ index: 0, delta: { role: 'assistant' }, finish_reason: null }]) + DONE,
    'two',
  ),
  streamedOnly('comments only', ': ping\n\n: ping\n\n', 'two'),
  streamedOnly(
    'an error event first',
    'event: error\ndata: {"error":{"message":"no","type":"server_error"}}\n\n',
    'two',
  ),
  streamedOnly('an error text first', 'data: {"error":"no"}\n\n', 'two'),
  streamedOnly(
    'an error in a choice',
    chunk([{ index: 0, delta: { content: '' }, finish_reason: 'error' }], { error: { code: 502, message: 'no' } }),
    'two',
  ),
  streamedOnly('usage, and no end', said('some') + usage, 'cut', 1),
  streamedOnly(
    'an error in the same breath as content, so that nobody has seen any',
    `${said('some')}data: {"error":{"message":"no","type":"server_error"}}\n\n`,
    'two',
  ),
  streamedOnly('a named one', `${said('some')}event: error\ndata: {"error":{"message":"no"}}\n\n`, 'two'),
  streamedOnly('one before an end', `${said('some')}data: {"error":{"message":"no","code":500}}\n\n${DONE}`, 'two'),
  streamedOnly('HTML after content', `${said('some')}<html>gone</html>`, 'cut', 1),
  streamedOnly('no end marker, but a finish', said('from the odd one') + finish, 'odd', 1),
]

/** Answers as the model's name tells; hangs up after that. */
async function oddOne(t: TestContext, counts: Map<string, number>): Promise<number> {
  const server = net.createServer((socket: Socket) => {
    let text = ''
    socket.on('error', () => {})
    socket.setEncoding('latin1').on('data', (part) => {
      // Whoever uses the connection once more finds it closing.
      if (socket.writableEnded) return
      text += part
      const at = text.indexOf('\r\n\r\n')
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
      if (at < 0 || text.length < at + 4 + length) return
      const { model, stream } = JSON.parse(text.slice(at + 4)) as { model: string; stream?: boolean }
      const call = (counts.get(model) ?? 0) + 1
      counts.set(model, call)
      const bytes = (CASES[Number(model)] as Case).bytes(stream === true, call)
      if (bytes === undefined) socket.destroy()
      else socket.end(bytes)
    })
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

function seen(answer: Answer, stream: boolean): string {
  if (answer.status !== 200) return String(answer.status)
  const from = answer.headers['x-stockyard-upstream'] === 'two' ? 'two' : 'odd'
  if (!stream) return answer.json?.choices?.[0]?.message?.content?.length > 0 ? from : `a lie: ${answer.text}`
  const last = answer.data.at(-1) ?? ''
  if (last.startsWith('{"error"')) {
    const before = { ...answer, data: answer.data.slice(0, -1) }
    return streamedText(before) !== '' && !/\[DONE\]|"finish_reason":"/.test(answer.text)
      ? 'cut'
      : `a lie: ${answer.text}`
  }
  return streamedText(answer) !== '' && /"finish_reason":"stop"/.test(answer.text) ? from : `a lie: ${answer.text}`
}

async function withOddOne(t: TestContext): Promise<{ gateway: Running; counts: Map<string, number> }> {
  const gateway = await runGateway(t, { upstreams: { two: 'openai' } })
  const counts = new Map<string, number>()
  const port = await oddOne(t, counts)
  await gateway.admin('PUT', 'upstreams/odd', {
    provider: 'openai',
    baseUrl: `http://127.0.0.1:${port}/v1`,
    credentials: [{ id: 'main', secret: 'sk-test-secret-odd' }],
  })
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  const settings = { firstBackoffMs: 1, maxBackoffMs: 2, attemptsPerTarget: 2 }
  await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings })
  for (let n = 0; n < CASES.length; n++) {
    await gateway.admin('PUT', `routes/r${n}`, {
      targets: [
        { upstream: 'odd', model: String(n) },
        { upstream: 'two', model: MODEL },
      ],
    })
  }
  return { gateway, counts }
}

for (const stream of [false, true]) {
  test(`A71, A45: ${CASES.length} further faults, ${stream ? 'streamed' : 'unstreamed'}: a whole answer or a true error, and no call too many`, async (t) => {
    const { gateway, counts } = await withOddOne(t)
    const wrong: string[] = []
    await Promise.all(
      CASES.map(async ({ name, sees, calls }, n) => {
        const answer = await gateway.chat(`r${n}`, 'hi', { stream })
        const wanted = typeof sees === 'object' ? sees[stream ? 'streamed' : 'unstreamed'] : sees
        const got = seen(answer, stream)
        if (got !== String(wanted)) wrong.push(`${name}: ${got} instead of ${wanted}`)
        const made = counts.get(String(n)) ?? 0
        if (made > calls || made < 1) wrong.push(`${name}: ${made} calls, at most ${calls}`)
      }),
    )
    assert.deepEqual(wrong, [])
  })
}
