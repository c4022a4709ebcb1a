/**
 * A witness as an anchor (C2SP tlog-witness): it cosigns a checkpoint only if that continues the one it saw last, so two
 * histories cannot both be witnessed. It is sent the checkpoints with which keys ended, so that it learns the keys after them.
 */
import { verify } from 'node:crypto'
import type { Host, ModuleAnswer } from '../../core/module.ts'
import { ANCHOR_MS, type Anchor } from './anchor.ts'
import { COSIGNATURE, parseCheckpoint, parseNote, parseVerifier } from './note.ts'
import type { AnchorSettings } from './settings.ts'

export function witnessAnchor(host: Host, { url, key }: Extract<AnchorSettings, { kind: 'witness' }>): Anchor {
  const base = url.replace(/\/+$/, '')
  const witness = key === undefined ? undefined : parseVerifier(key)
  if (witness && witness.type !== COSIGNATURE) throw new Error('the key of a witness is one for cosignatures')
  /** The size that the witness saw last, as far as we know. */
  let seen = 0
  const call = (method: 'GET' | 'POST', path: string, body: string): Promise<ModuleAnswer> =>
    host.call({
      method,
      url: `${base}/${path}`,
      headers: { 'content-type': 'text/plain' },
      body: Buffer.from(body),
      timeoutMs: ANCHOR_MS,
      maxAnswerBytes: 65_536,
    })

  async function show(note: string): Promise<void> {
    const { text } = parseNote(note)
    const { size } = parseCheckpoint(text)
    for (let tries = 0; tries < 3; tries++) {
      if (seen > size) throw new Error(`the witness has seen ${seen} records, and this log has ${size}`)
      const proven = await host.worker.call<{ proof: readonly string[] } | undefined>('between', {
        from: seen,
        to: size,
      })
      const proof = (proven?.proof ?? []).map((hash) => `${hash}\n`).join('')
      const answer = await call('POST', 'add-checkpoint', `old ${seen}\n${proof}\n${note}`)
      const said = answer.body.toString('utf8')
      if (answer.status === 200) {
        if (witness && !cosigned(said, text, witness)) throw new Error('the signature of the witness is not by its key')
        seen = size
        return
      }
      const known = /^\d+$/.exec(said.trim())
      // 409 with a size: it saw another one last. The same again is a refusal.
      if (answer.status !== 409 || !known || Number(said) === seen) {
        throw new Error(`the witness refused it (${answer.status}): ${said.trim().slice(0, 300)}`)
      }
      seen = Number(said)
    }
    throw new Error('the witness keeps seeing other sizes')
  }

  return {
    name: base,
    async publish() {
      for (const note of await host.worker.call<string[]>('since', { size: seen })) await show(note)
    },
    async newest() {
      const { origin } = await host.worker.call<{ origin: string }>('status', undefined)
      const answer = await call('GET', `checkpoint?origin=${encodeURIComponent(origin)}`, '')
      if (answer.status === 404) return undefined
      if (answer.status !== 200) throw new Error(`it answered ${answer.status}`)
      const note = answer.body.toString('utf8')
      seen = parseCheckpoint(parseNote(note).text).size
      return note
    },
  }
}

/** The bytes a witness signs (C2SP tlog-cosignature): when, and the text. */
export const cosignedText = (time: number | string, text: string): Buffer =>
  Buffer.from(`cosignature/v1\ntime ${time}\n${text}`)

function cosigned(lines: string, text: string, witness: ReturnType<typeof parseVerifier>): boolean {
  const { signatures } = parseNote(`${text}\n${lines.endsWith('\n') ? lines : `${lines}\n`}`)
  return signatures.some(({ name, id, signature }) => {
    if (name !== witness.name || !id.equals(witness.id) || signature.length !== 72) return false
    return verify(null, cosignedText(String(signature.readBigUInt64BE(0)), text), witness.key, signature.subarray(8))
  })
}
