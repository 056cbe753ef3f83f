/** What installers/prepare.sh compiled ahead, for the accounts that the daemon's children run under. */
import { readdir, symlink } from 'node:fs/promises'
import { compileCache } from '../daemon/supervisor/program.ts'

/** Node looks below a name that ends in the user's number: there each of these reads what root compiled, and writes nothing. */
export async function shareCompileCache(
  users: readonly { readonly uid: number }[],
  directory = compileCache,
): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  for (const ofRoot of names.filter((name) => name.endsWith('-0'))) {
    for (const { uid } of users) {
      const link = `${directory}/${ofRoot.replace(/0$/, String(uid))}`
      await symlink(ofRoot, link).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      })
    }
  }
}
