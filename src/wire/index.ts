/** The wire as core sees it (core/wire.ts), put together from the files of this folder. */
import type { Egress } from '../core/egress.ts'
import { failure } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/request.ts'
import type { Framer, Wire } from '../core/wire.ts'
import { AwsEventFramer } from './aws/events.ts'
import { clientHeaders, retryAfterMs, upstreamHeaders } from './headers.ts'
import { type ScannedObject, spliceJson } from './json.ts'
import { coalesce, isComment, SseFramer, sseData } from './sse.ts'

export function createWire(egress: Egress): Wire {
  return {
    egress,
    framer(framing, upstream): Framer {
      if (framing === 'sse') return new SseFramer(upstream)
      if (framing === 'aws-events') return new AwsEventFramer('named', upstream)
      if (framing === 'aws-chunks') return new AwsEventFramer('wrapped', upstream)
      throw failure('upstream_invalid', { upstream, problem: `framing ${framing}` })
    },
    payload: sseData,
    isComment,
    coalesce,
    splice: (body, scan, edits) => spliceJson(body, scan as ScannedObject, edits),
    upstreamHeaders,
    clientHeaders,
    retryAfterMs,
    parseJson: (body) => JSON.parse(body.toString('utf8')) as JsonValue,
    asObject: (value) =>
      value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as JsonObject) : undefined,
  }
}
