/** Ireland: PPS number. */
import { checked, nationalId } from './id.ts'

export const iePps = nationalId({
  entity: 'IE_PPS',
  country: 'IE',
  at: 'number',
  pattern: /(?<![\w-])\d{7}[A-W][A-IW]?(?![\w-])/g,
  digits: 7,
  valid: checked('IE', 'pps'),
  words: ['pps', 'ppsn', 'pps number', 'personal public service'],
})
