import { test } from 'node:test'
import { FAULTS, runFault } from './faults.ts'

for (const fault of FAULTS) {
  for (const mode of fault.modes) {
    test(`A71, A72: ${fault.name}, ${mode}`, async (t) => {
      await runFault(t, fault, mode)
    })
  }
}
