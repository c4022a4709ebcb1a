/** Bulgaria: EGN. */
import { checked, nationalId } from './id.ts'

export const bgEgn = nationalId({
  entity: 'BG_EGN',
  country: 'BG',
  at: 'number',
  run: 10,
  pattern: /(?<![\w-])\d{10}(?![\w-])/g,
  valid: checked('BG', 'egn'),
  words: ['egn', 'егн', 'ЕГН'],
})
