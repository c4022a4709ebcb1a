/** The name and password in an address: `postgres://admin:hunter2@db.example/`. The rest of the address stays. */
import type { Detector } from '../detector.ts'

export const urlCredentials: Detector = {
  entity: 'URL_CREDENTIALS',
  needs: '://',
  pattern: /(?<=\w:\/\/)[^\s:@/"'<>,;{}|`\\]{1,64}:[^\s:@/"'<>,;{}|`\\]{1,128}(?=@[\w[])/g,
  certainty: 12,
}
