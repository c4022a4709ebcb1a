/** `stockyard mock`: the scripted provider, for trying things out and for tests. */
import type { Command } from 'commander'
import { startUpstream } from '../../test/upstream/index.ts'
import { portOf } from './words.ts'

export function mockCommand(stockyard: Command): void {
  stockyard
    .command('mock')
    .description('run the scripted provider: OpenAI, Anthropic and Gemini, with faults on demand')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'port to listen on', '4300')
    .action(async ({ host, port }: { host: string; port: string }) => {
      const upstream = await startUpstream({ host, port: portOf(port) })
      console.log(`scripted provider on ${upstream.url}; what it served: ${upstream.url}/__ledger`)
      const stop = (): void => void upstream.close().then(() => process.exit(0))
      process.on('SIGTERM', stop)
      process.on('SIGINT', stop)
    })
}
