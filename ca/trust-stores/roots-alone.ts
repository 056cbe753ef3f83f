/** Whether what root runs, or writes beside, could be exchanged by somebody with fewer rights. */
import { realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * The first part of a path, from the file upwards, that others than root and ourselves can change; undefined where
 * there is none.
 */
export async function changeableBy(path: string): Promise<string | undefined> {
  const me = process.getuid?.() ?? 0
  for (let at = await realpath(path); ; at = dirname(at)) {
    const { uid, mode } = await stat(at)
    // The sticky bit keeps others from renaming what is root's in a directory such as /tmp.
    const open = (mode & 0o022) !== 0 && (mode & 0o1000) === 0
    if ((uid !== 0 && uid !== me) || open) return at
    if (at === dirname(at)) return undefined
  }
}
