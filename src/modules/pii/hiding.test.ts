/** A text that comes in pieces is hidden exactly like one that comes whole, and no piece of a find ever leaves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { generate } from '../../../eval/pii/generate.ts'
import { detectors } from './detectors/index.ts'
import { finder } from './find.ts'
import { Hiding } from './hiding.ts'
import { Restoring, restore } from './restoring.ts'

const find = finder(detectors)
const endings = new Map(detectors.flatMap(({ entity, goesOn }) => (goesOn ? [[entity, goesOn] as const] : [])))
const make = (json = false) => new Hiding({ find, endings, json, replace: (entity) => `[${entity}]` })

/** What hiding a whole text must give, computed another way. */
function expected(text: string): string {
  let out = ''
  let at = 0
  for (const { entity, start, end } of find(text, { reply: true })) {
    out += `${text.slice(at, start)}[${entity}]`
    at = end
  }
  return out + text.slice(at)
}
function inPieces(pieces: Iterable<string>, hiding = make()): string {
  let out = ''
  for (const piece of pieces) out += hiding.push(piece)
  return out + hiding.end()
}

const texts = generate(21, 32).map((s) => s.text)

test('T90: 2,000 texts, one character at a time and in random pieces, come out as if whole', () => {
  assert.ok(texts.length >= 2_000, `${texts.length} texts`)
  for (const [i, text] of texts.entries()) {
    const want = expected(text)
    assert.equal(inPieces([text]), want)
    assert.equal(inPieces(text), want, text)
    const size = 2 + (i % 11)
    assert.equal(inPieces(text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []), want, text)
  }
})

test('T90: every cut in two of every text comes out as if whole', () => {
  for (const text of texts) {
    const want = expected(text)
    // Cuts of long texts are sampled, those of the others are all made.
    const step = text.length > 150 ? 3 : 1
    for (let cut = 1; cut < text.length; cut += step) {
      assert.equal(
        inPieces([text.slice(0, cut), text.slice(cut)]),
        want,
        JSON.stringify([text.slice(0, cut), text.slice(cut)]),
      )
    }
  }
})

test('T90: no prefix of a find is ever let out, and at most 256 characters are held', () => {
  for (const text of texts) {
    const spans = find(text, { reply: true })
    const hiding = make()
    let out = ''
    for (const char of text) out += hiding.push(char)
    out += hiding.end()
    for (const { start, end } of spans) {
      const value = text.slice(start, end)
      if (value.length > 6)
        assert.ok(!out.includes(value.slice(0, 6)) || text.split(value.slice(0, 6)).length > 2, text)
    }
  }
  const prose = 'word '.repeat(100)
  const hiding = make()
  let read = 0
  let written = 0
  for (const char of prose + '1 '.repeat(2_000) + 'x'.repeat(3_000) + prose) {
    read++
    written += hiding.push(char).length
    assert.ok(read - written <= 256, `${read - written} held after ${read}`)
  }
})

test('A86: of ordinary words only the one that is being written is held', () => {
  const hiding = make()
  let out = ''
  for (const word of 'The quick brown fox jumps over the lazy dog and runs away'.split(/(?= )/)) {
    const before = out
    out += hiding.push(word)
    if (before !== '') assert.ok(out.length > before.length, `nothing came for ${JSON.stringify(word)}`)
  }
})

test('keys that are longer than what is held are hidden at their beginning and swallowed to their end', () => {
  const key = `-----BEGIN RSA PRIVATE KEY-----\n${'MIIEow/+AB12\n'.repeat(200)}-----END RSA PRIVATE KEY-----`
  const token = `eyJhbGciOiJIUzI1NiJ9.eyJ${'abc123'.repeat(200)}.${'sig_9'.repeat(50)}`
  const text = `Here: ${key} and ${token} end.`
  for (const size of [1, 3, 17, 100]) {
    const pieces = text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []
    assert.equal(inPieces(pieces), 'Here: [PRIVATE_KEY] and [JWT] end.')
  }
  assert.equal(inPieces([text]), 'Here: [PRIVATE_KEY] and [JWT] end.')
})

test('A89: in JSON, escapes are understood and what comes out is JSON', () => {
  const value = {
    a: 'x\njane@example.com',
    card: 4111111111111111,
    b: ['\u00e9\t"10.20.30.40"', '\\'],
    jane: 'n\\jane@example.com',
  }
  const hidden = { a: 'x\n[EMAIL]', card: '[CARD]', b: ['\u00e9\t"[IP]"', '\\'], jane: 'n\\[EMAIL]' }
  const text = JSON.stringify(value)
  for (const json of [text, text.replace('é', '\\u00e9').replace('jane@', '\\u006aane@')]) {
    assert.deepEqual(JSON.parse(inPieces([json], make(true))), hidden)
    assert.deepEqual(JSON.parse(inPieces(json, make(true))), hidden)
    for (let cut = 1; cut < json.length; cut++) {
      assert.deepEqual(JSON.parse(inPieces([json.slice(0, cut), json.slice(cut)], make(true))), hidden)
    }
  }
})

test('A87, A88: what was replaced comes back over any cuts, whatever the originals hold', () => {
  const entity = fc.constantFrom('EMAIL', 'PHONE', 'US_SSN', 'API_KEY')
  fc.assert(
    fc.property(
      fc.array(fc.tuple(entity, fc.string({ minLength: 1, maxLength: 30 })), { minLength: 1, maxLength: 6 }),
      fc.array(fc.string({ maxLength: 12 }), { minLength: 7, maxLength: 7 }),
      fc.array(fc.nat({ max: 200 }), { maxLength: 12 }),
      (values, between, cuts) => {
        const originals = new Map(
          values.map(([e, v], i) => [`[${e}_${'abcdefgh'.slice(0, 7)}${i}]`.replace(/\d\]$/, `${'xyzwvu'[i]}]`), v]),
        )
        let masked = between[6] as string
        let plain = between[6] as string
        for (const [i, [token, original]] of [...originals].entries()) {
          masked += token + between[i]
          plain += original + between[i]
        }
        const restoring = new Restoring(originals, false)
        let out = ''
        let at = 0
        for (const cut of [...cuts].sort((a, b) => a - b)) {
          if (cut <= at || cut >= masked.length) continue
          out += restoring.push(masked.slice(at, cut))
          at = cut
        }
        out += restoring.push(masked.slice(at)) + restoring.end()
        // Noise may complete a token by chance; then both ways must at least agree.
        assert.equal(out, restore(masked, originals, false))
        if (!between.some((noise) => noise.includes('['))) assert.equal(out, plain)
      },
    ),
    { numRuns: 500 },
  )
})
