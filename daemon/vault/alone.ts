/** One program at a time changes the keys of a directory: the gateway, or a command beside it. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { realFileSystem } from '../base/durable/file-system.ts'
import { VaultError } from './vault-error.ts'

const PATIENCE_MS = 20_000
const LOOK_MS = 20

/**
 * Locks the directory itself, so that no file has to be kept for it, and runs. The lock ends with the process.
 * @throws VaultError `rotation-under-way` where another has it too long
 */
export async function alone<T>(dir: string, run: () => Promise<T>): Promise<T> {
  const directory = await open(dir, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const end = performance.now() + PATIENCE_MS
    while (!(await realFileSystem.lock(directory.fd))) {
      if (performance.now() > end) {
        throw new VaultError(
          'rotation-under-way',
          `another program changes the keys in ${dir}`,
          'Let it end, then try again.',
        )
      }
      await setTimeout(LOOK_MS)
    }
    return await run()
  } finally {
    await directory.close()
  }
}
