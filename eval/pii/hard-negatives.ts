/** What looks like personal data and is none: code, logs, orders, ids, hashes, versions, prices. */
import type { Draw } from './values.ts'

const hex = (d: Draw, n: number): string => d.letters(n, '0123456789abcdef')
const uuid = (d: Draw): string => `${hex(d, 8)}-${hex(d, 4)}-4${hex(d, 3)}-a${hex(d, 3)}-${hex(d, 12)}`

export const NEGATIVES: readonly ((d: Draw) => string)[] = [
  (d) => `Order ${d.digits(10)} shipped with tracking 1Z${d.letters(6, 'ABCDEFGH0123456789')}${d.digits(10)}.`,
  (d) =>
    `Bestellung ${d.digits(9)} vom ${d.number(1, 28)}.${d.number(1, 12)}.2024, Betrag ${d.number(10, 999)},${d.digits(2)} €`,
  (d) => `commit ${hex(d, 40)}\nAuthor: nobody\nDate: Mon Nov 4 ${d.number(10, 23)}:${d.number(10, 59)}:12 2024 +0100`,
  (d) => `request_id=${uuid(d)} took ${d.number(1, 9999)}ms status=${d.pick([200, 404, 500])} bytes=${d.digits(7)}`,
  (d) => `const x = ${d.digits(6)}; const y = arr[${d.number(0, 99)}] + ${d.number(100, 9999)}.${d.digits(2)}`,
  (d) => `sha256:${hex(d, 64)}`,
  (d) =>
    `The build ${d.number(1, 20)}.${d.number(0, 30)}.${d.digits(4)} replaces version ${d.number(1, 9)}.${d.number(0, 9)}.${d.number(0, 9)}.${d.number(0, 9)}.`,
  (d) =>
    `[${d.number(2020, 2026)}-0${d.number(1, 9)}-1${d.number(0, 9)}T${d.number(10, 23)}:${d.number(10, 59)}:${d.number(10, 59)}.${d.digits(3)}Z] INFO worker-${d.number(1, 99)} processed ${d.digits(5)} rows`,
  (d) =>
    `Invoice INV-${d.number(2020, 2026)}-${d.digits(6)}: ${d.number(1, 40)} units at $${d.number(1, 999)}.${d.digits(2)} each`,
  (d) => `import { map } from 'rxjs@${d.number(5, 8)}.${d.number(0, 9)}.${d.number(0, 9)}' // see #${d.digits(5)}`,
  (d) => `std::vector<int>::iterator it = v.begin() + ${d.number(1, 99)}; a::b(c::d);`,
  (d) =>
    `SELECT id, total FROM orders WHERE id = ${d.digits(8)} AND created_at > '2024-0${d.number(1, 9)}-1${d.number(0, 9)}'`,
  (d) => `coordinates: ${d.number(10, 80)}.${d.digits(6)}, -${d.number(10, 120)}.${d.digits(6)}`,
  (d) => `timestamp ${d.number(16, 17)}${d.digits(8)} (${d.number(16, 17)}${d.digits(11)} ms)`,
  (d) =>
    `ISBN 978-${d.number(0, 9)}-${d.digits(2)}-${d.digits(6)}-${d.digits(1)}, pages ${d.number(100, 900)}-${d.number(901, 1200)}`,
  (d) => `color: #${hex(d, 6)}; margin: ${d.number(0, 99)}px ${d.number(0, 99)}px; z-index: ${d.digits(5)}`,
  () => `@decorator class A { @Input() b: string; email@ is not one, nor is @scope/package`,
  (d) => `docker pull registry.example/app@sha256:${hex(d, 64)}`,
  (d) => `Table ${d.number(1, 9)}: ${d.digits(3)} ${d.digits(3)} ${d.digits(4)} ${d.digits(2)} ${d.digits(5)}`,
  (d) => `Part no. ${d.letters(3, 'ABCDEFGH')}-${d.digits(4)}-${d.letters(1, 'XYZ')}, batch ${d.digits(8)}`,
  () => `const key = process.env.API_KEY ?? config.password // token: undefined`,
  (d) => `function getPassword(userName: string, tokenCount = ${d.digits(4)}) { return secretStore.fetch(userName) }`,
  (d) =>
    `The population grew from ${d.number(1, 9)},${d.digits(3)},${d.digits(3)} to ${d.number(10, 99)},${d.digits(3)},${d.digits(3)} by ${d.number(1990, 2024)}.`,
  (d) =>
    `ETA ${d.number(10, 23)}:${d.number(10, 59)}, gate ${d.letters(1, 'ABC')}${d.number(1, 60)}, flight ${d.letters(2, 'ABL')}${d.digits(4)}, seat ${d.number(1, 40)}${d.letters(1, 'ABCDEF')}`,
  (d) =>
    `"id":"chatcmpl-${d.letters(24, 'ABCDEFabcdef0123456789')}","created":${d.number(16, 17)}${d.digits(8)},"tool_call_id":"call_${d.letters(24, 'ABCDEFabcdef0123456789')}"`,
  (d) => `etag: W/"${hex(d, 8)}-${hex(d, 12)}" content-length: ${d.digits(6)} x-cache: ${d.digits(12)}`,
  (d) =>
    `Kernel 5.15.0-${d.number(10, 120)}-generic, driver ${d.number(400, 560)}.${d.number(10, 99)}.${d.number(10, 99)}, PCI 0000:${hex(d, 2)}:00.0`,
  (d) =>
    `Der Absatz ${d.number(1, 9)}.${d.number(1, 9)}.${d.number(1, 9)} verweist auf Aktenzeichen ${d.number(1, 20)} C ${d.digits(3)}/${d.number(10, 24)}.`,
  (d) =>
    `Le lot ${d.digits(7)} du ${d.number(10, 28)}/0${d.number(1, 9)}/2024 contient ${d.digits(4)} pièces (réf. ${d.letters(2, 'RST')}${d.digits(6)}).`,
  (d) => `El pedido ${d.digits(9)} salió el ${d.number(10, 28)}/0${d.number(1, 9)}/2024 con factura F${d.digits(8)}.`,
]
