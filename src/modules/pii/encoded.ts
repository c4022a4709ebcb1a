/** Text that hides in base64: a run that decodes to something readable is looked into, one level deep. */
import type { Find, Span } from './find.ts'

const RUN = /(?<![\w+/=-])[A-Za-z0-9+/]{24,16384}={0,2}(?![\w+/=-])/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: what is no text is told by them
const BINARY = /[\u0000-\u0008\u000e-\u001f\ufffd]/

/** The whole run counts as what is first found in it. */
export function findEncoded(text: string, find: Find): Span[] {
  const spans: Span[] = []
  for (const match of text.matchAll(RUN)) {
    const plain = Buffer.from(match[0], 'base64').toString('utf8')
    if (BINARY.test(plain)) continue
    const [first] = find(plain)
    if (first) spans.push({ entity: first.entity, start: match.index, end: match.index + match[0].length })
  }
  return spans
}
