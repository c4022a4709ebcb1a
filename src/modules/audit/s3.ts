/**
 * An S3-compatible bucket: each checkpoint an object of its own, locked for a while in compliance mode, so that not even the
 * account's owner can replace it. Names count down, so that the newest comes first in a listing. Signature version 4.
 */
import { createHash, createHmac } from 'node:crypto'
import type { Host } from '../../core/module.ts'
import { ANCHOR_MS, type Anchor } from './anchor.ts'
import { DAY_MS } from './epochs.ts'
import type { AnchorSettings } from './settings.ts'

const COUNT_FROM = 9_999_999_999_999

export function bucketAnchor(host: Host, chosen: Extract<AnchorSettings, { kind: 's3' }>): Anchor {
  const { endpoint, bucket, prefix, lockDays } = chosen
  const base = `${endpoint.replace(/\/+$/, '')}/${bucket}`
  const send = async (method: 'GET' | 'PUT', path: string, query: Record<string, string>, body: Buffer, more = {}) => {
    const url = new URL(`${base}${path}`)
    url.search = canonicalQuery(query)
    const headers = signed(host, chosen, method, url, body, more)
    const answer = await host.call({
      method,
      url: url.href,
      headers,
      body,
      timeoutMs: ANCHOR_MS,
      maxAnswerBytes: 1_048_576,
    })
    if (answer.status >= 300) throw new Error(`${bucket} answered ${answer.status}: ${codeOf(answer.body)}`)
    return answer.body
  }
  return {
    name: `s3://${bucket}/${prefix}`,
    async publish({ id, note }) {
      const body = Buffer.from(note)
      const until = new Date(host.now() + lockDays * DAY_MS).toISOString()
      await send('PUT', `/${prefix}${COUNT_FROM - id}.txt`, {}, body, {
        'content-type': 'text/plain; charset=utf-8',
        // Required where an object is locked.
        'content-md5': createHash('md5').update(body).digest('base64'),
        ...(lockDays === 0
          ? {}
          : { 'x-amz-object-lock-mode': 'COMPLIANCE', 'x-amz-object-lock-retain-until-date': until }),
      })
    },
    async newest() {
      const listing = await send('GET', '', { 'list-type': '2', 'max-keys': '1', prefix }, Buffer.alloc(0))
      const key = /<Key>([^<]+)<\/Key>/.exec(listing.toString('utf8'))?.[1]
      if (key === undefined) return undefined
      return (await send('GET', `/${key}`, {}, Buffer.alloc(0))).toString('utf8')
    },
  }
}

const codeOf = (body: Buffer): string => /<Code>([^<]+)</.exec(body.toString('utf8'))?.[1] ?? 'no reason given'
const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
const canonicalQuery = (query: Readonly<Record<string, string>>): string =>
  Object.keys(query)
    .sort()
    .map((name) => `${encoded(name)}=${encoded(query[name] ?? '')}`)
    .join('&')

function signed(
  host: Host,
  { region, accessKeyId, secret }: Extract<AnchorSettings, { kind: 's3' }>,
  method: string,
  url: URL,
  body: Buffer,
  more: Readonly<Record<string, string>>,
): Record<string, string> {
  const key = host.secretOf(secret)
  if (key === undefined) throw new Error(`the secret "${secret}" is not set`)
  const time = new Date(host.now()).toISOString().replace(/[-:]|\.\d{3}/g, '')
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`
  const headers: Record<string, string> = {
    ...more,
    host: url.host,
    'x-amz-date': time,
    'x-amz-content-sha256': sha256(body),
  }
  const names = Object.keys(headers).sort()
  const canonicalHeaders = names.map((name) => `${name}:${headers[name]}\n`).join('')
  const request = [
    method,
    url.pathname,
    url.search.slice(1),
    canonicalHeaders,
    names.join(';'),
    headers['x-amz-content-sha256'],
  ].join('\n')
  const text = ['AWS4-HMAC-SHA256', time, scope, sha256(request)].join('\n')
  const signing = scope.split('/').reduce<string | Buffer>((k, part) => hmac(k, part), `AWS4${key}`)
  const signature = hmac(signing, text).toString('hex')
  const { host: _, ...sent } = headers
  return {
    ...sent,
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
  }
}
