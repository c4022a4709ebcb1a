/** Every command but `serve` and `version`. */
import type { Command, Option } from 'commander'
import { apiCommands } from './api-commands.ts'
import { auditCommand } from './audit.ts'
import { connectCommand } from './connect/index.ts'
import { doctorCommand } from './doctor.ts'
import { importCommand } from './import/index.ts'
import { mockCommand } from './mock.ts'
import { restoreCommand } from './restore.ts'
import { witnessCommand } from './witness.ts'

export function otherCommands(stockyard: Command, dataDir: () => Option): void {
  mockCommand(stockyard)
  apiCommands(stockyard, dataDir)
  auditCommand(stockyard, dataDir)
  witnessCommand(stockyard)
  restoreCommand(stockyard, dataDir)
  doctorCommand(stockyard, dataDir)
  connectCommand(stockyard)
  importCommand(stockyard)
}
