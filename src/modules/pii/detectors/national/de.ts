/** Germany: tax identification number, and the pension insurance number. */
import { checked, nationalId } from './id.ts'

export const deTaxId = nationalId({
  entity: 'DE_TAX_ID',
  country: 'DE',
  at: 'number',
  pattern: /(?<![\w-])\d{2} ?\d{3} ?\d{3} ?\d{3}(?![\w-])/g,
  valid: checked('DE', 'idnr'),
  words: [
    'idnr',
    'steuer-?id',
    'steuerid',
    'steueridentifikationsnummer',
    'steuer-identifikationsnummer',
    'steuernummer',
    'steuerliche',
    'tin',
    'tax id',
  ],
})

export const dePensionNumber = nationalId({
  entity: 'DE_PENSION_NUMBER',
  country: 'DE',
  at: 'number',
  pattern: /(?<![\w-])\d{2} ?\d{6} ?[A-Z] ?\d{3}(?![\w-])/g,
  valid: checked('DE', 'svnr'),
  words: ['sozialversicherungsnummer', 'rentenversicherungsnummer', 'svnr'],
  telling: true,
})
