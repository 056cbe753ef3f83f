/** What an install writes to, as it is at the moment. */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Every file below the places that an install writes to: path, mode, and content or link. */
export function snapshot(): Map<string, string> {
  const found = new Map<string, string>()
  for (const root of ['/etc', '/usr/local/bin', '/usr/local/share/ca-certificates', '/opt']) {
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      const { mode } = lstatSync(path)
      const content = entry.isSymbolicLink()
        ? readlinkSync(path)
        : entry.isFile()
          ? createHash('sha256').update(readFileSync(path)).digest('hex')
          : ''
      found.set(path, `${mode.toString(8)} ${content}`)
    }
  }
  return found
}
