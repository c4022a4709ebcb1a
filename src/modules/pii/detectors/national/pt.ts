/** Portugal: NIF. */
import { checked, nationalId } from './id.ts'

export const ptNif = nationalId({
  entity: 'PT_NIF',
  country: 'PT',
  at: 'number',
  pattern: /(?<![\w-])[125689]\d{2} ?\d{3} ?\d{3}(?![\w-])/g,
  valid: checked('PT', 'nif'),
  words: ['nif', 'contribuinte', 'número de contribuinte'],
})
