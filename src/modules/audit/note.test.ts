import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EMPTY_ROOT } from './merkle.ts'
import * as note from './note.ts'

test('the example of C2SP signed-note verifies', () => {
  const key = note.parseVerifier('example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k')
  const signature = 'Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM='
  const signed = note.parseNote(`This is an example message.\n\n\u2014 example.com/foo ${signature}\n`)
  assert.ok(note.signedBy(signed, key))
  assert.ok(!note.signedBy({ ...signed, text: 'This is another message.\n' }, key))
})

test('a checkpoint is signed, read back, and refused when anything of it changes', () => {
  const signer = note.newSigner('gateway.example/log')
  const next = note.newSigner('gateway.example/log')
  const text = note.checkpointText('gateway.example/log', 12, EMPTY_ROOT, next.verifier.text)
  const signed = note.signNote(text, signer)
  const parsed = note.parseNote(signed)
  assert.ok(note.signedBy(parsed, note.parseVerifier(signer.verifier.text)))
  assert.ok(!note.signedBy(parsed, next.verifier))
  const checkpoint = note.parseCheckpoint(parsed.text)
  assert.equal(checkpoint.size, 12)
  assert.equal(note.nextKeyOf(checkpoint), next.verifier.text)
  for (let i = 0; i < text.length; i++) {
    const changed = `${signed.slice(0, i)}${signed[i] === 'x' ? 'y' : 'x'}${signed.slice(i + 1)}`
    let holds = false
    try {
      holds = note.signedBy(note.parseNote(changed), signer.verifier)
    } catch {}
    assert.ok(!holds, `position ${i}`)
  }
  assert.ok(note.signedBy(parsed, note.signerOf('gateway.example/log', signer.seed).verifier))
})

test('what is not a note, a checkpoint or a key is refused', () => {
  for (const bad of ['', 'a\n', 'a\n\nb\n', 'a\n1\nx\n\n— n AA\n']) assert.throws(() => note.parseNote(bad))
  const root = EMPTY_ROOT.toString('base64')
  for (const bad of ['', 'o\n-1\nx\n', `o\n01\n${root}\n`, `o\n1\n${root}`, `o\n1\n${root}\n\nx\n`, `\n1\n${root}\n`]) {
    assert.throws(() => note.parseCheckpoint(bad), bad)
  }
  for (const bad of ['', 'a+b', 'name+00000000+AQ==']) assert.throws(() => note.parseVerifier(bad))
})
