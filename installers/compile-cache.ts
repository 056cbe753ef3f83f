/** What installers/prepare.sh compiled ahead, for the accounts that the daemon's children run under. */
import { existsSync } from 'node:fs'
import { readdir, symlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { compileCache } from '../daemon/supervisor/program.ts'

/**
 * Node looks below a name that ends in the user's number: there each of these reads what root compiled, and writes nothing.
 * @returns the links that were not there before
 */
export async function shareCompileCache(
  users: readonly { readonly uid: number }[],
  directory = compileCache,
): Promise<string[]> {
  const names = existsSync(directory) ? await readdir(directory) : []
  const made: string[] = []
  for (const ofRoot of names.filter((name) => name.endsWith('-0'))) {
    for (const { uid } of users) {
      const link = `${directory}/${ofRoot.replace(/0$/, String(uid))}`
      if (names.includes(basename(link))) continue
      await symlink(ofRoot, link)
      made.push(link)
    }
  }
  return made
}
