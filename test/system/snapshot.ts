/** What an install writes to, as it is at the moment. */
import { createHash } from 'node:crypto'
import { type Dirent, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

const ROOTS = ['/etc', '/usr/local/bin', '/usr/local/share', '/opt']

/**
 * Every file below the places that an install writes to: path, mode, and content or link. Of a program's files, which
 * are many, size and time stand for the content.
 * @param except a directory that isn't looked into
 */
export function snapshot(except?: string): Map<string, string> {
  const found = new Map<string, string>()
  const look = (directory: string) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name)
      if (path === except) continue
      found.set(path, `${lstatSync(path).mode.toString(8)} ${contentOf(entry, path)}`)
      if (entry.isDirectory()) look(path)
    }
  }
  for (const root of ROOTS) look(root)
  return found
}

function contentOf(entry: Dirent, path: string): string {
  if (entry.isSymbolicLink()) return readlinkSync(path)
  if (!entry.isFile()) return ''
  const { size, mtimeMs } = lstatSync(path)
  if (path.startsWith('/opt/')) return `${size} ${mtimeMs}`
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}
