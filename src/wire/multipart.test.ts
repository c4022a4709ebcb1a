import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formFields, scanForm } from './multipart.ts'

const TYPE = 'multipart/form-data; boundary=X'
const form = (...heads: readonly string[]) =>
  Buffer.from(`${heads.map((head) => `--X\r\n${head}\r\n\r\nvalue\r\n`).join('')}--X--\r\n`)
const fields = (body: Buffer, type = TYPE) => formFields(body, scanForm(body, type), ['model'])

test('names are read however senders write them', () => {
  for (const head of [
    'Content-Disposition: form-data; name="model"',
    'content-disposition:form-data;name=model',
    'Content-Disposition: form-data; NAME="model";',
    'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="model"\r\nX-Other: 1',
    'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: 8bit',
  ]) {
    assert.deepEqual(fields(form(head)), { model: 'value' }, head)
  }
  assert.deepEqual(fields(form('Content-Disposition: form-data; name="model"'), 'multipart/form-data; Boundary="X"'), {
    model: 'value',
  })
  const file = 'Content-Disposition: form-data; name="file"; filename="a; name=\\"model\\".wav"'
  assert.deepEqual(fields(form(file, 'Content-Disposition: form-data; name="n"')), {
    'file; filename': 'a; name="model".wav',
    n: 'value',
  })
  assert.equal(scanForm(form(`${file}; filename*=UTF-8''a.wav`), TYPE).parts[0]?.isFile, true)
})

test('T58: a head that two readers may read as different names is refused', () => {
  for (const head of [
    'Content-Disposition: form-data; name="a"; name="model"',
    `Content-Disposition: form-data; name="a"; name*=UTF-8''model`,
    'Content-Disposition: form-data; x="; name=a"; x="; name=model"',
    'Content-Disposition: form-data; name="a" name="model"',
    'Content-Disposition: form-data; name="mod\\el"',
    'Content-Disposition: form-data; name="a"\r\n ; name="model"',
    'Content-Disposition: form-data; name="a"\nContent-Disposition: form-data; name="model"',
    'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="model"',
    'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64',
    'Content-Disposition: form-data',
    'X: y',
  ]) {
    assert.throws(() => fields(form(head)), { code: 'invalid_request' }, head)
  }
  // Only the one that is outside of quotes is a name.
  assert.deepEqual(fields(form('Content-Disposition: form-data; x="; name=a"; name="model"')), { model: 'value' })
  for (const type of [`${TYPE}; boundary=Y`, 'multipart/form-data; boundary="X\\""', 'multipart/form-data; x="y']) {
    assert.throws(
      () => scanForm(form('Content-Disposition: form-data; name="a"'), type),
      { code: 'invalid_request' },
      type,
    )
  }
})
