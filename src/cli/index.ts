/**
 * The commands. `serve` and `mock` run here; all others talk to a running gateway's admin API, so that whatever they can do
 * an administrator's script can do too.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { VERSION } from '../version.ts'
import { runServe } from './serve.ts'
import { fail } from './words.ts'

/** For these words of a command line; what only other commands need is not loaded where the gateway is run. */
export async function program(words: readonly string[]): Promise<Command> {
  const stockyard = new Command('stockyard')
    .description('An LLM proxy that grows into an LLM gateway.')
    .version(VERSION, '-v, --version')
    .enablePositionalOptions()
    .showHelpAfterError()
  stockyard
    .command('serve', { isDefault: true })
    .description('run the gateway (the default)')
    .addOption(new Option('--host <address>', 'address to listen on').env('STOCKYARD_HOST').default('127.0.0.1'))
    .addOption(new Option('--port <number>', 'port to listen on').env('STOCKYARD_PORT').default('4200'))
    .addOption(dataDir())
    .addOption(new Option('--config <file>', 'apply this file at start; it owns what it names').env('STOCKYARD_CONFIG'))
    .addOption(
      new Option('--trusted-proxies <ranges>', "proxies, with commas, whose word about a caller's address counts").env(
        'STOCKYARD_TRUSTED_PROXIES',
      ),
    )
    .addOption(new Option('--tls-cert <file>', 'certificate chain, PEM').env('STOCKYARD_TLS_CERT'))
    .addOption(new Option('--tls-key <file>', 'private key, PEM').env('STOCKYARD_TLS_KEY'))
    .addOption(
      new Option('--max-connections <number>', 'one more is answered 503')
        .env('STOCKYARD_MAX_CONNECTIONS')
        .default('20000'),
    )
    .addOption(
      new Option('--upload-limit <bytes>', 'of a form with a file, which is relayed while it comes')
        .env('STOCKYARD_UPLOAD_LIMIT')
        .default('536870912'),
    )
    .addOption(
      new Option('--log-level <level>', 'trace, debug, info, warn, error').env('STOCKYARD_LOG_LEVEL').default('warn'),
    )
    .addOption(
      new Option('--durability <what>', 'what an answered request survives: the end of the process, or of the power')
        .env('STOCKYARD_DURABILITY')
        .choices(['process', 'power-loss'])
        .default('process'),
    )
    .action(runServe)
  if (!runsTheGateway(words)) (await import('./others.ts')).otherCommands(stockyard, dataDir)
  stockyard
    .command('version')
    .description('print versions')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: boolean }) => {
      const { node, sqlite } = process.versions
      console.log(
        json
          ? JSON.stringify({ stockyard: VERSION, node, sqlite })
          : `stockyard ${VERSION} (Node ${node}, SQLite ${sqlite})`,
      )
    })
  const [first = ''] = words
  if (/^\w/.test(first) && first !== 'help' && !stockyard.commands.some((command) => command.name() === first)) {
    fail(`there is no command "${first}"; stockyard --help lists them`)
  }
  return stockyard
}

const dataDir = () =>
  new Option('--data-dir <directory>', 'where everything is kept')
    .env('STOCKYARD_DATA_DIR')
    .default(join(homedir(), '.stockyard'))

/** The default command, by its name or by none. */
function runsTheGateway([first]: readonly string[]): boolean {
  if (first === undefined || first === 'serve') return true
  return first.startsWith('--') && first !== '--help' && first !== '--version'
}
