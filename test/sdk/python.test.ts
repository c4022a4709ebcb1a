/**
 * A68: the vendors' Python SDKs with their defaults, against upstreams of every family. Where there is no Python with these
 * packages (`.ci/run` installs them) the tests are skipped by name.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { gatewayForAll, MODELS } from './gateway.ts'

const EMBEDDINGS = ['openai/text-embedding-3-small', 'gemini/gemini-embedding-001', 'cohere/embed-v4.0']
const here = import.meta.dirname
const python = [join(here, '../../node_modules/.python/bin/python'), 'python3'].find(
  (each) => spawnSync(each, ['-c', 'import openai, anthropic, google.genai']).status === 0,
)
const skip = python === undefined ? 'no Python with openai, anthropic and google-genai (.ci/run installs them)' : false
const gateway = gatewayForAll()

test('A68: Python SDKs: chat, responses, messages, content and embeddings, whole and streamed', { skip }, async (t) => {
  const chat = MODELS.map(({ model }) => model)
  const args = [join(here, 'python/clients.py'), gateway().url, chat.join(), EMBEDDINGS.join()]
  const child = spawn(python as string, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, failed] = ['', '']
  child.stdout.on('data', (piece) => {
    out += piece
  })
  child.stderr.on('data', (piece) => {
    failed += piece
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  assert.equal(code, 0, failed)
  const done = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { name: string; error?: string })
  assert.equal(done.length, chat.length * 4 + EMBEDDINGS.length + 1)
  for (const { name, error } of done) await t.test(name, () => assert.equal(error, undefined, error ?? name))
})
