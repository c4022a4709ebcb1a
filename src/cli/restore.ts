/** `stockyard restore`: puts a backup where no gateway runs. */
import type { Command, Option } from 'commander'
import { restore } from '../store/local/index.ts'
import { verifyDirectory } from './audit.ts'
import { fail } from './words.ts'

export function restoreCommand(stockyard: Command, dataDir: () => Option): void {
  stockyard
    .command('restore <backup>')
    .description('verify a backup and put it into the data directory; the gateway must not be running')
    .addOption(dataDir())
    .option('--replace', 'even if the data directory is not empty')
    .option('--json', 'as JSON')
    .action(async (backup: string, flags: { dataDir: string; replace?: boolean; json?: boolean }) => {
      try {
        const manifest = await restore(backup, flags.dataDir, { replace: flags.replace === true })
        // Only that it agrees with itself; whether it was rolled back is for the anchors to say when the gateway starts.
        const trail = verifyDirectory(flags.dataDir, { keys: [], checkpoints: [] })
        const wrong = trail?.flatMap(({ problems }) => problems) ?? []
        if (wrong.length > 0) {
          fail(`everything was restored, but the audit trail in it was tampered with: ${wrong.slice(0, 3).join('; ')}`)
        }
        console.log(
          flags.json ? JSON.stringify(manifest) : `restored ${manifest.files.length} files into ${flags.dataDir}`,
        )
      } catch (error) {
        fail((error as Error).message)
      }
    })
}
