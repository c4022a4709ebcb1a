/**
 * A witness (C2SP tlog-witness): keeps the last size and root of each log that it knows, and signs a checkpoint only if it
 * continues that. What a log's own key signed and what contradicts it is kept: two such notes are the proof of misbehavior.
 */
import { sign } from 'node:crypto'
import { verifyConsistency } from './merkle.ts'
import { nextKeyOf, parseCheckpoint, parseNote, parseVerifier, type Signer, signatureLine, signedBy } from './note.ts'
import { cosignedText } from './witness-anchor.ts'

export interface Seen {
  readonly origin: string
  /** The key that signs the log now. */
  readonly key: string
  readonly size: number
  /** The last checkpoint; absent before the first. */
  readonly note?: string
}
export interface WitnessState {
  get(origin: string): Seen | undefined
  /** On the disk when it returns. */
  set(seen: Seen): void
  /** Both notes are signed by the log's key. `proven`: they are of one size, so together they prove that it forked. */
  misbehaved(conflict: Conflict): void
}
export interface Conflict {
  readonly origin: string
  readonly at: number
  readonly proven: boolean
  readonly known: string
  readonly offered: string
}
export interface WitnessAnswer {
  readonly status: number
  readonly text: string
}

const answer = (status: number, text: string): WitnessAnswer => ({ status, text })

export class Witness {
  readonly #state: WitnessState
  readonly #signer: Signer

  constructor(state: WitnessState, signer: Signer) {
    this.#state = state
    this.#signer = signer
  }

  /** `old <size>`, the lines of the proof, an empty line, the checkpoint. */
  add(body: string, now: number): WitnessAnswer {
    const border = body.indexOf('\n\n')
    const [first = '', ...proofLines] = body.slice(0, Math.max(0, border)).split('\n')
    const old = /^old (0|[1-9]\d{0,15})$/.exec(first)?.[1]
    if (border < 0 || old === undefined)
      return answer(400, 'not "old <size>", a proof, an empty line and a checkpoint\n')
    const text = body.slice(border + 2)
    let note: ReturnType<typeof parseNote>
    let checkpoint: ReturnType<typeof parseCheckpoint>
    try {
      note = parseNote(text)
      checkpoint = parseCheckpoint(note.text)
    } catch (error) {
      return answer(400, `${(error as Error).message}\n`)
    }
    const { origin, size, root } = checkpoint
    const seen = this.#state.get(origin)
    if (seen === undefined) return answer(404, `the log ${origin} is not known here\n`)
    if (!signedBy(note, parseVerifier(seen.key))) return answer(403, 'it is not signed by the key of this log\n')
    if (Number(old) > size) return answer(400, 'the old size is larger than the checkpoint\n')
    if (Number(old) !== seen.size) return answer(409, `${seen.size}\n`)
    const known = seen.note === undefined ? undefined : parseCheckpoint(parseNote(seen.note).text)
    if (known && known.size > 0) {
      const proof = proofLines.map((line) => Buffer.from(line, 'base64'))
      if (!verifyConsistency(known.size, size, known.root, root, proof)) {
        // A wrong proof alone may be a mistake; two roots of one size are not.
        const proven = known.size === size
        this.#state.misbehaved({ origin, at: now, proven, known: seen.note as string, offered: text })
        return proven
          ? answer(409, `${seen.size}\n`)
          : answer(422, 'the proof does not show that it continues the log\n')
      }
    }
    this.#state.set({ origin, key: nextKeyOf(checkpoint) ?? seen.key, size, note: text })
    const time = Math.floor(now / 1_000)
    const stamp = Buffer.alloc(8)
    stamp.writeBigUInt64BE(BigInt(time))
    const signature = sign(null, cosignedText(time, note.text), this.#signer.key)
    return answer(200, signatureLine(this.#signer.verifier, Buffer.concat([stamp, signature])))
  }
}
