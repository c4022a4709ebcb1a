/**
 * Amazon Bedrock's Converse and ConverseStream, towards upstreams: one format for all makers' models there. Its binary
 * stream arrives here as server-sent events (wire/aws/events.ts).
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
 */
import { defineDialect } from '../../core/dialect.ts'
import { textBytes } from '../../wire/measure.ts'
import { factsOf, ReadingWatcher } from '../../wire/reading-watcher.ts'
import { ConverseReader, complaintOf } from './reader.ts'
import { ID } from './vocabulary.ts'
import { writeRequest } from './write-request.ts'

const DELTA = Buffer.from('"contentBlockDelta"')
const TEXT_KEYS = ['"text"', '"input"'].map((key) => Buffer.from(key))
/** Behind `data: {`. */
const HEAD = 32

export default defineDialect({
  id: ID,
  operation: 'chat',
  upstream: {
    framing: 'aws-events',
    writeRequest,
    readBody: (body, asked) => new ConverseReader(asked).body(body),
    streamReader: (asked) => new ConverseReader(asked),
    watcher: () =>
      new ReadingWatcher(new ConverseReader(), (bytes) =>
        bytes.subarray(0, HEAD).includes(DELTA) ? textBytes(bytes, TEXT_KEYS) : undefined,
      ),
    factsOf: (body) => factsOf(() => new ConverseReader().body(body)),
    readError: complaintOf,
  },
})
