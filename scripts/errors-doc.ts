/** Writes docs/errors.md from the catalogue in src/core/errors.ts. `--check` fails if the committed page differs. */
import { type Blame, ERRORS, type ErrorKind, type Retry } from '../src/core/errors.ts'
import { cell, writeOrCheck } from './page.ts'

const BLAME: Readonly<Record<Blame, string>> = {
  client: 'the request',
  gateway: 'the gateway',
  upstream: 'the upstream',
}
const RETRY: Readonly<Record<Retry, string>> = {
  never: 'not tried again',
  same: 'the same target again, then the next',
  elsewhere: 'the next target at once',
}

const row = ([code, { status, blame, retry, final, message }]: readonly [string, ErrorKind]): string =>
  `| \`${code}\` | ${status} | ${BLAME[blame]} | ${RETRY[retry]} | ${final ? 'yes' : ''} | ${cell(message)} |`

export const errorsPage = (): string => `# Errors

<!-- Written by scripts/errors-doc.ts from src/core/errors.ts; edit there. -->

Everything the gateway itself can answer with. On the data plane an error has the shape of the API that the client
speaks: OpenAI's endpoints answer \`{"error": {"message", "type", "param", "code"}}\`. Below \`/api/\` it is
\`{"error": {"code", "message", "details"}}\`. A stream that has begun ends with the same error as its last event, and
never with the mark of a proper end. Every answer of the data plane carries \`x-stockyard-request-id\`.

- **Cause** says where to look: in the request, in the gateway, or at the upstream.
- **With \`failover\` on** says what the gateway does before it answers with this error, if a call to an upstream ended in
  it; what stops a request before any call is answered at once. A streamed reply can change its target until the first
  content is there. The module's settings bound the number of tries and the time.
- **Final** means that waiting does not help. Such an answer carries \`x-should-retry: false\`, which the official SDKs
  obey.
- What stands in braces is filled in. An upstream's own words are part of the message, without credentials. Where the
  upstream sent 400, 409, 413, 415, 422, 424 or 451, \`upstream_rejected\` has that status, and its message is the
  upstream's.
- What cannot be read as a request at all (broken framing, more than 64 KiB of headers, headers that come too slowly) is
  answered with 400, 431 or 408 and no code, and the connection is closed.
- \`retry-after\` is sent when whoever refused named a time of up to 60 seconds.

| code | status | cause | with \`failover\` on | final | message |
|---|---|---|---|---|---|
${Object.entries(ERRORS).map(row).join('\n')}

A module that refuses a request does so with a code of its own; see [modules](modules.md).
`

if (import.meta.main) writeOrCheck('docs/errors.md', errorsPage(), 'scripts/errors-doc.ts')
