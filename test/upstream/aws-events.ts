// Writes AWS's binary event stream, as Bedrock does.

import { crc32 } from 'node:zlib'

export function awsMessage(kind: 'event' | 'exception', type: string, payload: string): Buffer {
  const headers = Buffer.concat([
    header(kind === 'event' ? ':event-type' : ':exception-type', type),
    header(':content-type', 'application/json'),
    header(':message-type', kind),
  ])
  const body = Buffer.from(payload)
  const message = Buffer.alloc(12 + headers.length + body.length + 4)
  message.writeUInt32BE(message.length, 0)
  message.writeUInt32BE(headers.length, 4)
  message.writeUInt32BE(crc32(message.subarray(0, 8)), 8)
  headers.copy(message, 12)
  body.copy(message, 12 + headers.length)
  message.writeUInt32BE(crc32(message.subarray(0, -4)), message.length - 4)
  return message
}

function header(name: string, value: string): Buffer {
  const head = Buffer.alloc(1 + name.length + 3)
  head.writeUInt8(name.length, 0)
  head.write(name, 1)
  head.writeUInt8(7, 1 + name.length)
  head.writeUInt16BE(Buffer.byteLength(value), 2 + name.length)
  return Buffer.concat([head, Buffer.from(value)])
}

/** Lines of `{"<type>": <payload>}` as messages. */
export const converseMessages = (lines: readonly string[]): Buffer[] =>
  lines.flatMap((line) =>
    Object.entries(JSON.parse(line) as Record<string, unknown>).map(([type, payload]) =>
      awsMessage('event', type, JSON.stringify(payload)),
    ),
  )
