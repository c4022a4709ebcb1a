/** Chile: RUT. */
import { checked, nationalId } from './id.ts'

export const clRut = nationalId({
  entity: 'CL_RUT',
  country: 'CL',
  at: 'number',
  pattern: /(?<![\w-])\d{1,2}\.?\d{3}\.?\d{3}-?[\dkK](?![\w-])/g,
  digits: 7,
  valid: checked('CL', 'rut'),
  words: ['rut', 'run', 'cédula'],
})
