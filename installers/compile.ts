/**
 * Loads every file that a process or a thread of the program begins with, so that Node's compile cache has it and all
 * that it imports. Without a parent such a file does nothing, or says that there is none.
 */
import { globSync } from 'node:fs'
import { programRoot } from '../daemon/supervisor/program.ts'

const BEGINNINGS = ['daemon/*/main.ts', 'daemon/**/thread.ts', 'cli/commands/*.ts']

for (const file of globSync(BEGINNINGS, { cwd: programRoot }).sort()) {
  // Compiled it is by then, whatever it says.
  await import(`${programRoot}/${file}`).catch(() => {})
}
// Some wait for a parent. What was compiled is written as the process ends.
process.exit(0)
