/** What an uninstall does with what the manifest holds: evidence, keys and the administrator's own work stay. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { standsAsMade } from './command-files.ts'
import type { ManifestEntry } from './manifest.ts'

/** `gone`: there is nothing left of it. */
export type Fate = 'goes' | 'stays' | 'gone'

export async function fateOf(entry: ManifestEntry, purge: boolean): Promise<Fate> {
  switch (entry.kind) {
    case 'configuration': {
      const text = await readFile(entry.path).catch(() => undefined)
      if (text === undefined) return 'gone'
      const untouched = createHash('sha256').update(text).digest('hex') === entry.sha256
      return untouched || purge ? 'goes' : 'stays'
    }
    case 'command-file':
      // One that somebody has edited since is no longer ours.
      return (await standsAsMade(entry)) ? 'goes' : 'gone'
    case 'state':
    case 'host-key':
      if (!existsSync(entry.path)) return 'gone'
      return purge ? 'goes' : 'stays'
    default:
      return 'goes'
  }
}
