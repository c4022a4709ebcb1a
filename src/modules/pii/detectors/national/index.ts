/** All national ids. A new one is one more file, named here. */
import { arCuit } from './ar.ts'
import { atSvnr } from './at.ts'
import { auTfn } from './au.ts'
import { beNationalNumber } from './be.ts'
import { bgEgn } from './bg.ts'
import { brCpf } from './br.ts'
import { caSin } from './ca.ts'
import { chAhv } from './ch.ts'
import { clRut } from './cl.ts'
import { cnResidentId } from './cn.ts'
import { czBirthNumber } from './cz.ts'
import { dePensionNumber, deTaxId } from './de.ts'
import { dkCpr } from './dk.ts'
import { eePersonalCode } from './ee.ts'
import { esDni, esNie } from './es.ts'
import { fiHetu } from './fi.ts'
import { frNir } from './fr.ts'
import { gbNhs, gbNino } from './gb.ts'
import { grAmka } from './gr.ts'
import { hrOib } from './hr.ts'
import { iePps } from './ie.ts'
import { ilIdentityNumber } from './il.ts'
import { inAadhaar, inPan } from './in.ts'
import { itFiscalCode } from './it.ts'
import { krRrn } from './kr.ts'
import { ltPersonalCode } from './lt.ts'
import { mxCurp } from './mx.ts'
import { nlBsn } from './nl.ts'
import { noBirthNumber } from './no.ts'
import { plPesel } from './pl.ts'
import { ptNif } from './pt.ts'
import { roCnp } from './ro.ts'
import { sePersonalNumber } from './se.ts'
import { thIdentityNumber } from './th.ts'
import { trIdentityNumber } from './tr.ts'
import { twNationalId } from './tw.ts'
import { usEin, usItin, usSsn, usSsnPlain } from './us.ts'
import { zaIdentityNumber } from './za.ts'

export const nationalIds = [
  usSsn,
  usSsnPlain,
  usItin,
  usEin,
  caSin,
  mxCurp,
  brCpf,
  arCuit,
  clRut,
  gbNino,
  gbNhs,
  iePps,
  deTaxId,
  dePensionNumber,
  frNir,
  esDni,
  esNie,
  itFiscalCode,
  ptNif,
  nlBsn,
  beNationalNumber,
  atSvnr,
  chAhv,
  dkCpr,
  noBirthNumber,
  sePersonalNumber,
  fiHetu,
  plPesel,
  czBirthNumber,
  roCnp,
  bgEgn,
  hrOib,
  eePersonalCode,
  ltPersonalCode,
  grAmka,
  trIdentityNumber,
  ilIdentityNumber,
  inAadhaar,
  inPan,
  cnResidentId,
  krRrn,
  twNationalId,
  thIdentityNumber,
  zaIdentityNumber,
  auTfn,
] as const
