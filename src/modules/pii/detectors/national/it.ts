/** Italy: codice fiscale. */
import { checked, nationalId } from './id.ts'

export const itFiscalCode = nationalId({
  entity: 'IT_FISCAL_CODE',
  country: 'IT',
  at: 'code',
  pattern: /(?<!\w)[A-Z]{6}[\dLMNP-V]{2}[ABCDEHLMPRST][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z](?!\w)/gi,
  digits: 2,
  valid: (text) => checked('IT', 'codicefiscale')(text.toUpperCase()),
  words: ['codice fiscale'],
  telling: true,
})
