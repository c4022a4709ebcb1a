/** The `stockyard` command: reads flags and environment, and runs what was asked for. The only file that knows everyone. */
import { program } from './cli/index.ts'

const words = process.argv.slice(2)
try {
  await (await program(words)).parseAsync(words, { from: 'user' })
} catch (error) {
  // A file that is not there or text that is no YAML is for whoever wrote the command to mend; a stack would say less.
  const { syscall, name, message } = error as NodeJS.ErrnoException
  if (syscall === undefined && name !== 'YAMLParseError') throw error
  console.error(`stockyard: ${message.split(/:?\n/, 1)[0]}`)
  process.exitCode = 1
}
