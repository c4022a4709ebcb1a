/** Two npm packages for the same work, as finders under our entities' names. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Labeled } from './generate.ts'
import type { FindSpans } from './score.ts'

export interface Peer {
  readonly name: string
  readonly covers: ReadonlySet<string>
  /** Prepares what `find` will be asked; a slow package is asked ahead, text by text. */
  prepare(texts: readonly Labeled[]): Promise<void>
  readonly find: FindSpans
}
type Spans = { entity: string; start: number; end: number }[]

const require = createRequire(join(import.meta.dirname, '../index.js'))

const OPEN: readonly (readonly [RegExp, string])[] = [
  [/^EMAIL/, 'EMAIL'],
  [/PHONE/, 'PHONE'],
  [/CREDIT_CARD|^CARD/, 'CARD'],
  [/IBAN/, 'IBAN'],
  [/^SSN|US_SSN/, 'US_SSN'],
  [/^IP/, 'IP'],
  [/^MAC/, 'MAC'],
  [/PASSPORT/, 'PASSPORT'],
  [/DRIV/, 'DRIVING_LICENCE'],
  [/ZIP|POSTAL|POSTCODE/, 'ZIP'],
  [/BIRTH|DOB/, 'DATE_OF_BIRTH'],
  [/BITCOIN|ETHEREUM|CRYPTO|WALLET/, 'CRYPTO_ADDRESS'],
  [/VIN/, 'VIN'],
  [/JWT/, 'JWT'],
  [/PRIVATE_KEY/, 'PRIVATE_KEY'],
  [/NHS/, 'GB_NHS'],
  [/NINO|NATIONAL_INSURANCE/, 'GB_NINO'],
]

interface OpenResult {
  readonly detections: readonly { readonly type: string; readonly position: readonly [number, number] }[]
}

async function openRedaction(): Promise<Peer> {
  const { OpenRedaction } = (await import(pathToFileURL(require.resolve('openredaction')).href)) as {
    OpenRedaction: new () => { detect(text: string): Promise<OpenResult> }
  }
  const redactor = new OpenRedaction()
  const known = new Map<string, Spans>()
  return {
    name: 'openredaction',
    covers: new Set(OPEN.map(([, entity]) => entity)),
    async prepare(texts) {
      for (const { text } of texts) {
        if (known.has(text)) continue
        const { detections } = await redactor.detect(text)
        known.set(
          text,
          detections.flatMap(({ type, position: [start, end] }) => {
            const entity = OPEN.find(([pattern]) => pattern.test(type))?.[1]
            return entity === undefined ? [] : [{ entity, start, end }]
          }),
        )
      }
    },
    find: (text) => known.get(text) ?? [],
  }
}

const REDACT: Readonly<Record<string, string>> = {
  EMAIL_ADDRESS: 'EMAIL',
  CREDIT_CARD_NUMBER: 'CARD',
  US_SOCIAL_SECURITY_NUMBER: 'US_SSN',
  PHONE_NUMBER: 'PHONE',
  IP_ADDRESS: 'IP',
  ZIPCODE: 'ZIP',
}
const MARKS =
  /(EMAIL_ADDRESS|CREDIT_CARD_NUMBER|US_SOCIAL_SECURITY_NUMBER|PHONE_NUMBER|IP_ADDRESS|ZIPCODE|PERSON_NAME|STREET_ADDRESS|USERNAME|PASSWORD|CREDENTIALS|DIGITS|URL)/

/** It says only what the text became: what stands between two pieces that stayed is what was found. */
function redactPii(): Peer {
  const { SyncRedactor } = require('redact-pii') as { SyncRedactor: new () => { redact(text: string): string } }
  const redactor = new SyncRedactor()
  return {
    name: 'redact-pii',
    covers: new Set(Object.values(REDACT)),
    prepare: async () => {},
    find(text) {
      const pieces = redactor.redact(text).split(MARKS)
      const found: Spans = []
      let at = 0
      for (let i = 1; i < pieces.length; i += 2) {
        const before = pieces[i - 1] ?? ''
        const after = pieces[i + 1] ?? ''
        const start = text.indexOf(before, at) + before.length
        const end = after === '' ? text.length : text.indexOf(after, start)
        const entity = REDACT[pieces[i] as string]
        if (entity !== undefined && end > start) found.push({ entity, start, end })
        at = Math.max(start, end)
      }
      return found
    },
  }
}

export const peers = async (): Promise<Peer[]> => [await openRedaction(), redactPii()]
