/** The installed tree and, while an upgrade is unproven, the one before it, which installers/program.sh put aside. */
import { lstatSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { programRoot } from '../daemon/supervisor/program.ts'

/** Stands exactly while the tree in its place is unproven; an empty file where there was none before. */
const PREVIOUS = `${programRoot}.old`
/** What a staging leaves; the shell clears it away. */
const UNPROVEN = `${programRoot}.new`

/** Puts the tree before this one back, if there is one. This process goes on from what it has loaded. */
export async function putProgramBack(): Promise<void> {
  if (!lstatSync(PREVIOUS, { throwIfNoEntry: false })?.isDirectory()) return
  await rename(programRoot, UNPROVEN)
  await rename(PREVIOUS, programRoot)
}
