/**
 * What people write around such values, in six languages. `{}` is the value, `{name}` and `{word}` are noise. A label stands
 * for an id by its everyday name in the country that gives it.
 */
export const LANGUAGES = ['en', 'de', 'fr', 'es', 'it', 'pt'] as const
export type Language = (typeof LANGUAGES)[number]

/** Around a value that says itself what it is. */
export const PLAIN: Readonly<Record<Language, readonly string[]>> = {
  en: [
    '{name} wrote that {} is the one to use.',
    'Please put {} into the form, {name} needs it.',
    '{}',
    'Use {} instead.\nThanks, {name}',
    'I sent it to {name}: {}. Was that right?',
    '{"name":"{name}","value":"{}"}',
  ],
  de: [
    '{name} schreibt, dass {} richtig ist.',
    'Bitte trage {} ein, {name} wartet darauf.',
    'Es war {}, sagt {name}.',
    'Für {name}: {}',
  ],
  fr: [
    '{name} écrit que {} est le bon.',
    'Merci de noter {} pour {name}.',
    'C’est {} qu’il faut prendre, dit {name}.',
    'Pour {name} : {}',
  ],
  es: [
    '{name} escribe que {} es el correcto.',
    'Por favor anote {} para {name}.',
    'Era {}, dice {name}.',
    'Para {name}: {}',
  ],
  it: [
    '{name} scrive che {} è quello giusto.',
    'Per favore annoti {} per {name}.',
    'Era {}, dice {name}.',
    'Per {name}: {}',
  ],
  pt: [
    '{name} escreve que {} está certo.',
    'Por favor anote {} para {name}.',
    'Era {}, diz {name}.',
    'Para {name}: {}',
  ],
}

/** Around a value that needs its label. */
export const LABELED: Readonly<Record<Language, readonly string[]>> = {
  en: [
    'My {label} is {}.',
    "{name}'s {label}: {}",
    'Can you check {label} {} for {name}?',
    'The {label} number {} belongs to {name}.',
    '{label} = {}, and nothing else.',
  ],
  de: ['Meine {label} lautet {}.', '{label} von {name}: {}', 'Bitte {label} {} für {name} prüfen.'],
  fr: ['Mon {label} est le {}.', '{label} de {name} : {}', 'Pouvez-vous vérifier le {label} {} ?'],
  es: ['Mi {label} es {}.', '{label} de {name}: {}', '¿Puede comprobar el {label} {}?'],
  it: ['Il mio {label} è {}.', '{label} di {name}: {}', 'Può controllare il {label} {}?'],
  pt: ['O meu {label} é {}.', '{label} de {name}: {}', 'Pode verificar o {label} {}?'],
}

/** Labels by language; an entity without an entry needs none. */
export const LABELS: Readonly<Record<string, Partial<Record<Language, readonly string[]>>>> = {
  PHONE: {
    en: ['phone', 'mobile', 'tel', 'cell'],
    de: ['Telefonnummer', 'Handynummer'],
    fr: ['téléphone', 'portable'],
    es: ['teléfono', 'móvil'],
    it: ['telefono', 'cellulare'],
    pt: ['telefone', 'telemóvel'],
  },
  BIC: { en: ['BIC', 'SWIFT code'], de: ['BIC'], fr: ['BIC'], es: ['BIC'], it: ['BIC'], pt: ['BIC'] },
  PASSPORT: {
    en: ['passport', 'passport number'],
    de: ['Reisepassnummer'],
    fr: ['passeport'],
    es: ['pasaporte'],
    it: ['passaporto'],
    pt: ['passaporte'],
  },
  DRIVING_LICENCE: {
    en: ["driver's license", 'driving licence'],
    de: ['Führerscheinnummer'],
    fr: ['permis de conduire'],
    es: ['permiso de conducir'],
    it: ['patente di guida'],
    pt: ['carta de condução'],
  },
  ZIP: {
    en: ['zip code', 'postal code'],
    de: ['Postleitzahl', 'PLZ'],
    fr: ['code postal'],
    es: ['código postal'],
    it: ['CAP'],
    pt: ['código postal'],
  },
  DATE_OF_BIRTH: {
    en: ['date of birth', 'DOB', 'birthday'],
    de: ['Geburtsdatum'],
    fr: ['date de naissance'],
    es: ['fecha de nacimiento'],
    it: ['data di nascita'],
    pt: ['data de nascimento'],
  },
  SECRET: {
    en: ['password', 'secret', 'token', 'api key'],
    de: ['Kennwort', 'Passwort'],
    fr: ['mot de passe'],
    es: ['contraseña'],
    it: ['password'],
    pt: ['senha'],
  },
  US_ITIN: { en: ['ITIN', 'taxpayer identification'] },
  US_EIN: { en: ['EIN', 'employer identification'] },
  CA_SIN: { en: ['SIN', 'social insurance number'], fr: ['NAS'] },
  BR_CPF: { pt: ['CPF'] },
  AR_CUIT: { es: ['CUIT', 'CUIL'] },
  CL_RUT: { es: ['RUT'] },
  GB_NHS: { en: ['NHS', 'NHS number'] },
  IE_PPS: { en: ['PPS number', 'PPSN'] },
  DE_TAX_ID: { de: ['Steuer-ID', 'Steueridentifikationsnummer', 'IdNr'] },
  PT_NIF: { pt: ['NIF', 'número de contribuinte'] },
  NL_BSN: { en: ['BSN', 'burgerservicenummer'] },
  BE_NATIONAL_NUMBER: { en: ['national number', 'rijksregisternummer'], fr: ['numéro national'] },
  AT_SVNR: { de: ['Sozialversicherungsnummer', 'SVNR'] },
  DK_CPR: { en: ['CPR', 'CPR-nummer'] },
  NO_BIRTH_NUMBER: { en: ['fødselsnummer', 'personnummer'] },
  SE_PERSONAL_NUMBER: { en: ['personnummer', 'personal identity number'] },
  PL_PESEL: { en: ['PESEL'] },
  CZ_BIRTH_NUMBER: { en: ['birth number', 'rodné číslo'] },
  RO_CNP: { en: ['CNP'] },
  BG_EGN: { en: ['EGN'] },
  HR_OIB: { en: ['OIB'] },
  EE_PERSONAL_CODE: { en: ['isikukood'] },
  LT_PERSONAL_CODE: { en: ['asmens kodas'] },
  GR_AMKA: { en: ['AMKA'] },
  TR_IDENTITY_NUMBER: { en: ['TC kimlik no', 'TCKN'] },
  IL_IDENTITY_NUMBER: { en: ['teudat zehut', 'Israeli ID'] },
  IN_AADHAAR: { en: ['Aadhaar', 'Aadhaar number'] },
  IN_PAN: { en: ['PAN card', 'PAN'] },
  KR_RRN: { en: ['RRN', 'resident registration'] },
  TW_NATIONAL_ID: { en: ['national ID'] },
  TH_IDENTITY_NUMBER: { en: ['Thai ID', 'national ID'] },
  ZA_IDENTITY_NUMBER: { en: ['SA ID', 'identity number'] },
  AU_TFN: { en: ['TFN', 'tax file number'] },
}

/** A value inside something else: the address around a name and a password. */
export const WRAPPED: Readonly<Record<string, readonly string[]>> = {
  URL_CREDENTIALS: [
    'postgres://{}@db.example.com:5432/app',
    'https://{}@example.com/path',
    'redis://{}@cache.internal:6379',
  ],
}
