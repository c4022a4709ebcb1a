/** The labelled set of microsoft/presidio-research, read from the fixtures, in our entities. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Labeled } from './generate.ts'

const FILE = join(process.env.STOCKYARD_FIXTURES ?? '../shared', 'fixtures/pii/synth_dataset_v2.json')

/** Its names for what we look for too. Names, places and organizations are an external recognizer's. */
const ENTITIES: Readonly<Record<string, string>> = {
  CREDIT_CARD: 'CARD',
  US_SSN: 'US_SSN',
  EMAIL_ADDRESS: 'EMAIL',
  PHONE_NUMBER: 'PHONE',
  IBAN_CODE: 'IBAN',
  IP_ADDRESS: 'IP',
  US_DRIVER_LICENSE: 'DRIVING_LICENCE',
  ZIP_CODE: 'ZIP',
}

interface Row {
  readonly full_text: string
  readonly spans: readonly {
    readonly entity_type: string
    readonly start_position: number
    readonly end_position: number
  }[]
}

/** Undefined where the fixtures are not there. */
export function labelled(): Labeled[] | undefined {
  if (!existsSync(FILE)) return undefined
  return (JSON.parse(readFileSync(FILE, 'utf8')) as Row[]).map((row) => ({
    text: row.full_text,
    spans: row.spans.flatMap(({ entity_type, start_position, end_position }) => {
      // A date is a date of birth where the sentence says so.
      const born =
        entity_type === 'DATE_TIME' &&
        /\b(?:born|birth)\b/i.test(row.full_text) &&
        /^\d/.test(row.full_text.slice(start_position))
      const entity = born ? 'DATE_OF_BIRTH' : ENTITIES[entity_type]
      return entity === undefined ? [] : [{ entity, start: start_position, end: end_position }]
    }),
  }))
}
