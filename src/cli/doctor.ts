/** `stockyard doctor`: looks at what usually goes wrong, and says what to do about it. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command, Option } from 'commander'
import { request } from 'undici'
import { providers } from '../providers/index.ts'
import { call } from './client.ts'

interface Finding {
  readonly check: string
  readonly ok: boolean
  readonly says: string
}

export function doctorCommand(stockyard: Command, dataDir: () => Option): void {
  stockyard
    .command('doctor')
    .description('look at what usually goes wrong')
    .option('--url <address>', 'the gateway', process.env.STOCKYARD_URL ?? 'http://127.0.0.1:4200')
    .addOption(dataDir())
    .option('--json', 'as JSON')
    .action(async (flags: { url: string; dataDir: string; json?: boolean }) => {
      const findings = await examine(flags)
      if (flags.json) console.log(JSON.stringify(findings, null, 2))
      else for (const { check, ok, says } of findings) console.log(`${ok ? 'ok  ' : 'look'}  ${check}: ${says}`)
      if (findings.some((f) => !f.ok)) process.exitCode = 1
    })
}

async function examine(flags: { url: string; dataDir: string }): Promise<Finding[]> {
  const findings: Finding[] = []
  const major = Number(process.versions.node.split('.', 1)[0])
  findings.push({ check: 'node', ok: major >= 26, says: process.versions.node })
  const mode = existsSync(flags.dataDir) ? statSync(flags.dataDir).mode & 0o077 : undefined
  findings.push({
    check: 'data directory',
    ok: mode === undefined || mode === 0,
    says:
      mode === undefined
        ? `${flags.dataDir} is made on first start`
        : mode === 0
          ? flags.dataDir
          : `${flags.dataDir} can be read by others; chmod 700 it`,
  })
  const keys = providers.flatMap((p) => (p.environment && process.env[p.environment.key] ? [p.environment.key] : []))
  findings.push({
    check: 'upstream keys',
    ok: true,
    says: keys.length > 0 ? keys.join(', ') : 'none in this environment; mock/echo always answers',
  })
  try {
    const { statusCode } = await request(`${flags.url}/health/ready`)
    findings.push({ check: 'gateway', ok: statusCode === 200, says: `${flags.url} answers ${statusCode}` })
  } catch {
    findings.push({ check: 'gateway', ok: false, says: `nothing answers at ${flags.url}; start it with "stockyard"` })
    return findings
  }
  if (!existsSync(join(flags.dataDir, 'admin.key')) && !process.env.STOCKYARD_ADMIN_KEY) return findings
  const health = (await call(flags, 'GET', 'health')) as {
    ledger?: string
    localTrust?: { lost: boolean; clue?: string }
    problems?: Readonly<Record<string, string>>
  }
  findings.push({ check: 'ledger', ok: health.ledger === 'ok', says: health.ledger ?? 'unknown' })
  findings.push({
    check: 'local trust',
    ok: !health.localTrust?.lost,
    says: health.localTrust?.lost
      ? `something forwards to this port (${health.localTrust.clue}): switch on "keys", set a proxy key, or confirm it`
      : 'programs on this machine may use the gateway without a key',
  })
  for (const [module, problem] of Object.entries(health.problems ?? {})) {
    findings.push({ check: module, ok: false, says: problem })
  }
  return findings
}
