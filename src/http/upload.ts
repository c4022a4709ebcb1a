/**
 * Forms above the body limit: what stands before the file is read, and the rest goes on as it comes, no faster than the
 * upstream takes it. Nothing that decides where it goes or whose it is may come behind the file.
 */
import type { IncomingMessage } from 'node:http'
import type { BodyRest } from '../core/egress.ts'
import { badRequest, failure } from '../core/errors.ts'
import { type Form, FormRest } from '../wire/multipart.ts'

export interface UploadTerms {
  /** Of the whole body, in bytes. */
  readonly limit: number
  /** How long a client may send nothing of it. */
  readonly stallMs: number
  /** Names of fields that may not come with the rest. */
  readonly early: readonly string[]
}

export const isForm = (contentType: string | undefined): boolean =>
  contentType !== undefined && /^multipart\/form-data\b/i.test(contentType)

export function restOf(request: IncomingMessage, head: Buffer, form: Form, terms: UploadTerms): BodyRest {
  const sent = request.headers['content-length']
  const watch = new FormRest(head, form, ({ name }) => {
    const field = name.replace(/\[.*$/, '')
    if (!terms.early.includes(field)) return
    throw badRequest(`In a form of this size "${field}" must stand before the file.`, field)
  })
  return {
    ...(sent === undefined ? {} : { bytes: Number(sent) - head.length }),
    chunks: chunksOf(request, head.length, terms, watch),
  }
}

async function* chunksOf(
  request: IncomingMessage,
  already: number,
  { limit, stallMs }: UploadTerms,
  watch: FormRest,
): AsyncGenerator<Buffer, undefined> {
  const reading = request.iterator({ destroyOnReturn: false })
  let bytes = already
  for (;;) {
    const { done, value } = await within(stallMs, reading.next())
    if (done) return undefined
    const chunk = value as Buffer
    bytes += chunk.length
    if (bytes > limit) throw failure('request_too_large', { limit })
    watch.look(chunk)
    yield chunk
  }
}

function within<T>(ms: number, coming: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => {
      const problem = `Nothing more of the request body came for ${Math.round(ms / 1_000)} s.`
      reject(failure('invalid_request', { problem }, undefined, { status: 408 }))
    }
    const timer = setTimeout(late, ms)
    coming.then(resolve, () => reject(failure('client_closed'))).finally(() => clearTimeout(timer))
  })
}
