/** All detectors. A new one is one more file, named here. */
import type { Detector } from '../detector.ts'
import { dateOfBirth, dateOfBirthInWords, zip } from './about-a-person.ts'
import { bic } from './bic.ts'
import { card, cardByName } from './card.ts'
import { wallet, walletBech32, walletEthereum } from './crypto-address.ts'
import { drivingLicence, passport } from './documents.ts'
import { email, emailSpelled } from './email.ts'
import { iban } from './iban.ts'
import { nationalIds } from './national/index.ts'
import { ipv4, ipv6, ipv6Short, mac } from './network.ts'
import { phoneGrouped, phoneInternational, phoneNational } from './phone.ts'
import { knownSecrets, secret } from './secrets.ts'
import { urlCredentials } from './url-credentials.ts'
import { vin } from './vin.ts'

export const detectors: readonly Detector[] = [
  ...knownSecrets,
  urlCredentials,
  email,
  emailSpelled,
  iban,
  card,
  cardByName,
  phoneInternational,
  phoneGrouped,
  phoneNational,
  ipv4,
  ipv6,
  ipv6Short,
  mac,
  wallet,
  walletBech32,
  walletEthereum,
  vin,
  bic,
  ...nationalIds,
  passport,
  drivingLicence,
  dateOfBirth,
  dateOfBirthInWords,
  zip,
  secret,
]
