/** Brazil: CPF. */
import { checked, nationalId } from './id.ts'

export const brCpf = nationalId({
  entity: 'BR_CPF',
  country: 'BR',
  at: 'number',
  pattern: /(?<![\w-])\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?![\w-])/g,
  valid: checked('BR', 'cpf'),
  words: ['cpf', 'cadastro'],
})
