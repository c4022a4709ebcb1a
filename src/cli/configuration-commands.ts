/** Commands for the configuration as a whole: as a file, and as the revisions that led to it. */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { type ClientFlags, call, parsed, table } from './client.ts'
import type { Own, Row, Show } from './directory-words.ts'
import { fail } from './words.ts'

export function configurationCommands(stockyard: Command, own: Own, show: Show): void {
  const config = stockyard.command('config').description('the configuration as a file')
  own(config, 'export', 'print it').action(async (flags: ClientFlags) => {
    const answer = await call(flags, 'GET', 'config/export')
    show(flags, answer, () => stringify(answer))
  })
  for (const action of ['plan', 'apply'] as const) {
    own(config, `${action} <file>`, action === 'plan' ? 'what would change' : 'make it so').action(
      async (file: string, flags: ClientFlags) => {
        const configuration = parsed(readFileSync(file, 'utf8'), file) as object
        const answer = (await call(flags, 'POST', `config/${action}`, { name: file, configuration })) as {
          changes: Row[]
        }
        show(flags, answer, () =>
          answer.changes.length === 0 ? 'nothing to change' : table(answer.changes, ['change', 'object']),
        )
      },
    )
  }

  const revisions = stockyard.command('revisions').description('what was changed in the configuration, and by whom')
  own(revisions, 'list', 'the newest first').action(async (flags: ClientFlags) => {
    const answer = (await call(flags, 'GET', 'revisions')) as { revisions: Row[] }
    show(flags, answer, () => table(answer.revisions, ['id', 'at', 'actor', 'action']))
  })
  own(revisions, 'rollback <id>', 'make the configuration of that revision the present one').action(
    async (id: string, flags: ClientFlags) => {
      if (!/^\d+$/.test(id)) fail(`"${id}" is no revision; see: stockyard revisions list`)
      const answer = (await call(flags, 'POST', `revisions/${id}/rollback`)) as { revision: number }
      show(flags, answer, () => `as in revision ${id} (revision ${answer.revision})`)
    },
  )
}
