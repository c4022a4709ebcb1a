/**
 * A121: `stockyard connect` prints and writes settings that work: each written file is read as its client reads it, and the
 * request that this client would send goes through a running gateway.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import OpenAI from 'openai'
import { parse } from 'yaml'
import { CLIENTS } from '../../src/cli/connect/clients.ts'
import { runGateway } from '../running/index.ts'

const root = join(import.meta.dirname, '../..')

function homeOf(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'stockyard-home-'))
  t.after(() => rmSync(home, { recursive: true, force: true }))
  return home
}

async function connect(home: string, ...words: string[]): Promise<{ code: number | null; out: string }> {
  const { PATH } = process.env
  const child = spawn(process.execPath, [join(root, 'scripts/start.mjs'), 'connect', ...words], {
    env: { PATH, HOME: home, USERPROFILE: home },
  })
  let out = ''
  child.stdout.on('data', (data) => (out += data))
  child.stderr.on('data', (data) => (out += data))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, out }
}

const upstreams = { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' }

test('A121: what is written for each client works as that client uses it', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const home = homeOf(t)
  const model = 'openai/gpt-4o-mini'
  const write = async (client: string, file: string): Promise<string> => {
    const { code, out } = await connect(home, client, '--url', gateway.url, '--model', model, '--write')
    assert.equal(code, 0, out)
    assert.match(out, /^ {2}\+ /m, client)
    return readFileSync(join(home, file), 'utf8')
  }
  const openai = async (baseURL: string, apiKey: string, asked: string) => {
    const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
    const answer = await client.chat.completions.create({ model: asked, messages: [{ role: 'user', content: 'hi' }] })
    assert.match(answer.choices[0]?.message.content ?? '', /echo: hi/)
  }

  const { env } = JSON.parse(await write('claude-code', '.claude/settings.json'))
  const anthropic = new Anthropic({
    baseURL: env.ANTHROPIC_BASE_URL,
    authToken: env.ANTHROPIC_AUTH_TOKEN,
    apiKey: null,
    maxRetries: 0,
  })
  const message = await anthropic.messages.create({
    model: 'claude-sonnet-4-5',
    max_tokens: 50,
    messages: [{ role: 'user', content: 'hi' }],
  })
  assert.equal(message.content[0]?.type, 'text')

  const codex = await write('codex', '.codex/config.toml')
  const said = (key: string) => new RegExp(`^${key} = "(.*)"$`, 'm').exec(codex)?.[1] ?? ''
  assert.equal(said('model_provider'), 'stockyard')
  assert.equal(said('wire_api'), 'responses')
  assert.ok(!codex.includes('env_key'))
  const responses = new OpenAI({ baseURL: said('base_url'), apiKey: 'none', maxRetries: 0 })
  const response = await responses.responses.create({ model: said('model'), input: 'hi' })
  assert.match(response.output_text, /echo: hi/)

  const variables = Object.fromEntries(
    (await write('gemini-cli', '.gemini/.env'))
      .trim()
      .split('\n')
      .map((line) => line.split('=', 2)),
  )
  const google = new GoogleGenAI({
    apiKey: variables.GEMINI_API_KEY,
    httpOptions: { baseUrl: variables.GOOGLE_GEMINI_BASE_URL },
  })
  const generated = await google.models.generateContent({ model: 'gemini-2.5-flash', contents: 'hi' })
  assert.match(generated.text ?? '', /echo: hi/)

  const opencode = JSON.parse(await write('opencode', '.config/opencode/opencode.json'))
  const [provider, ...name] = opencode.model.split('/')
  const { options, models } = opencode.provider[provider]
  assert.ok(Object.keys(models).includes(name.join('/')))
  await openai(options.baseURL, options.apiKey, name.join('/'))

  const file = parse(await write('continue', '.continue/config.yaml'))
  const [entry] = file.models
  assert.equal(entry.provider, 'openai')
  await openai(entry.apiBase, entry.apiKey, entry.model)

  const aider = parse(await write('aider', '.aider.conf.yml'))
  await openai(aider['openai-api-base'], aider['openai-api-key'], aider.model.replace('openai/', ''))
})

test('A121: without --write nothing is written; with it what was there is kept, and twice is once', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const home = homeOf(t)
  const file = join(home, '.claude/settings.json')
  const words = ['claude-code', '--url', gateway.url, '--key', 'sk-of-this-test']
  const printed = await connect(home, ...words)
  assert.match(printed.out, /Nothing is written yet/)
  assert.ok(!existsSync(file))
  mkdirSync(join(home, '.claude'))
  writeFileSync(file, '{\n  "theme": "dark"\n}\n')
  assert.match((await connect(home, ...words, '--write')).out, /Written/)
  assert.equal(JSON.parse(readFileSync(file, 'utf8')).theme, 'dark')
  assert.equal(readFileSync(`${file}.before-stockyard`, 'utf8'), '{\n  "theme": "dark"\n}\n')
  assert.match((await connect(home, ...words, '--write')).out, /as it should be/)
  const secret = join(home, '.gemini/.env')
  await connect(home, 'gemini-cli', '--url', gateway.url, '--key', 'sk-of-this-test', '--write')
  if (process.platform !== 'win32') assert.equal(statSync(secret).mode & 0o077, 0)
})

test('A121: what cannot be written says so, and limits are named', async (t) => {
  const home = homeOf(t)
  const cursor = await connect(home, 'cursor', '--model', 'm', '--write')
  assert.equal(cursor.code, 1)
  assert.match(cursor.out, /"claude" goes past the override/)
  mkdirSync(join(home, '.claude'))
  writeFileSync(join(home, '.claude/settings.json'), '{ // a comment\n}')
  const broken = await connect(home, 'claude-code', '--write')
  assert.equal(broken.code, 1)
  assert.match(broken.out, /nothing was changed/)
  const nowhere = await connect(home, 'codex', '--url', 'http://127.0.0.1:1')
  assert.match(nowhere.out, /give a --model/)
})

test('docs/clients.md shows every client, its settings and its limits', () => {
  const page = readFileSync(join(root, 'docs/clients.md'), 'utf8')
  for (const { id, title, limits } of CLIENTS) {
    assert.ok(page.includes(`## ${title}`), title)
    assert.ok(page.includes(`stockyard connect ${id}`), id)
    for (const limit of limits) assert.ok(page.includes(limit), limit)
  }
})
