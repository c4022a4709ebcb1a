/** Where a machine is: IPv4, IPv6 and MAC addresses. */
import { type Detector, words } from '../detector.ts'

export const ipv4: Detector = {
  entity: 'IP',
  at: 'number',
  digits: 4,
  pattern: /(?<![\w.+-]|[vV]ersion )(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w-]|\.\d)/g,
  // Four small numbers in a row are a version or a chapter; nobody's address begins with 0.
  check: (found) => !found.startsWith('0') && found.split('.').some((part) => part.length > 1),
  context: words(
    'ip',
    'ips',
    'ip-adresse',
    'address',
    'adresse',
    'host',
    'server',
    'dns',
    'ping',
    'localhost',
    'gateway',
    'from',
    'client',
    'peer',
    'dirección',
    'indirizzo',
    'endereço',
  ),
  weight: 'instead',
  certainty: 6,
}

export const ipv6: Detector = {
  entity: 'IP',
  needs: /:[0-9a-fA-F]{0,4}:/,
  pattern:
    /(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){1,7}(?::?[0-9a-fA-F]{1,4}){0,7}(?:(?:\.\d{1,3}){3})?(?::(?![\w:]))?(?![\w:.]*[G-Zg-z_])/g,
  check: isIpv6,
  certainty: 7,
}

export const ipv6Short: Detector = {
  entity: 'IP',
  needs: '::',
  pattern: /(?<![\w:.])::(?:[0-9a-fA-F]{1,4}:){1,6}[0-9a-fA-F]{1,4}(?![\w:])/g,
  check: isIpv6,
  certainty: 7,
}

/** Eight groups, or fewer around one `::`; short ones must not be somebody's `a::b`. */
function isIpv6(found: string): boolean {
  const [head = '', tail, more] = found.split('::')
  if (more !== undefined) return false
  const groups = [...head.split(':'), ...(tail ?? '').split(':')].filter(Boolean)
  if (groups.some((group, i) => group.includes('.') && i < groups.length - 1)) return false
  const size = groups.length + (groups.at(-1)?.includes('.') ? 1 : 0)
  if (tail === undefined) return size === 8 && !head.startsWith(':') && !head.endsWith(':')
  return (
    size <= 7 && (groups.length >= 3 || /^[0-9a-f]{3,4}$/i.test(groups[0] ?? '')) && groups.some((g) => /\d/.test(g))
  )
}

export const mac: Detector = {
  entity: 'MAC',
  needs: /[:-][0-9a-fA-F]{2}[:-]|\.[0-9a-fA-F]{4}\./,
  pattern:
    /(?<![\w:-])(?:(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}|(?:[0-9a-fA-F]{2}-){5}[0-9a-fA-F]{2}|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]{4})(?![\w:-])/g,
  certainty: 8,
}
