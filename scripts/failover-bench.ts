/** `npm run failover-bench`: the sixteen faults as a table; ends with an error if one of them does not pass. */
import { FAULTS, type Mode, runFault } from '../test/scenario/faults.ts'

const rows: string[][] = []
let failed = 0
for (const fault of FAULTS) {
  for (const mode of ['unstreamed', 'streamed'] as const satisfies readonly Mode[]) {
    if (!fault.modes.includes(mode)) continue
    const undo: (() => unknown)[] = []
    const t = { after: (step?: unknown) => void undo.push(step as () => unknown) }
    try {
      const { seen, calls, ms } = await runFault(t, fault, mode)
      const counted = Object.entries(calls).map(([name, n]) => `${name} ${n}`)
      rows.push(['pass', fault.name, mode, seen, counted.join(', '), `${ms}`])
    } catch (error) {
      failed++
      rows.push(['FAIL', fault.name, mode, (error as Error).message.replaceAll('\n', ' ').slice(0, 200), '', ''])
    } finally {
      for (const step of undo.reverse()) await step()
    }
  }
}
console.log('| | fault | | what the client sees | calls | ms |\n|---|---|---|---|---|--:|')
for (const row of rows) console.log(`| ${row.join(' | ')} |`)
const passed = FAULTS.filter(({ name }) => rows.every((row) => row[1] !== name || row[0] === 'pass')).length
console.log(`\n${passed} of ${FAULTS.length} faults pass`)
process.exitCode = failed > 0 ? 1 : 0
