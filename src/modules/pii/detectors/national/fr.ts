/** France: social security number (NIR). */
import { checked, nationalId } from './id.ts'

export const frNir = nationalId({
  entity: 'FR_NIR',
  country: 'FR',
  at: 'number',
  pattern: /(?<![\w-])[1-478] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}(?![\w-])/g,
  valid: checked('FR', 'nir'),
  words: ['nir', 'sécurité sociale', 'sécu', 'insee', 'numéro de sécurité sociale'],
  telling: true,
})
