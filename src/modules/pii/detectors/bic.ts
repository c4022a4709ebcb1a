/** Bank identifiers (ISO 9362): eight or eleven letters that spell a word as often as a bank, so only after a word. */
import { type Detector, words } from '../detector.ts'

const COUNTRIES =
  'AD AE AL AT AU AZ BA BE BG BH BR BY CA CH CL CN CO CR CY CZ DE DK DO EE EG ES FI FO FR GB GE GI GR GT HK HR HU ID IE IL IN IQ IS IT JO JP KR KW KZ LB LI LT LU LV MA MC MD ME MK MT MU MX MY NG NL NO NZ OM PE PH PK PL PT QA RO RS RU SA SE SG SI SK SM TH TN TR TW UA US VA VN ZA'.split(
    ' ',
  )

export const bic: Detector = {
  entity: 'BIC',
  needs: /bic|swift|bankleit/i,
  pattern: /(?<![\w-])[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?![\w-])/g,
  check: (found) => COUNTRIES.includes(found.slice(4, 6)),
  context: words('bic', 'swift', 'swift code', 'bic code', 'swift-code', 'bankleitcode'),
  weight: 'needed',
  certainty: 4,
}
