/** What an install changes, as installers/changes.txt lists it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The files that an install may write to, wherever it is run; directories of ours are not among them. */
export function changedFiles(): string[] {
  const text = readFileSync(join(import.meta.dirname, 'changes.txt'), 'utf8')
  return text.split('\n').flatMap((line) => {
    const [kind, path] = line.split('|').map((column) => column.trim())
    // The manifest takes itself back, entry by entry.
    return kind === 'file' && path && !path.endsWith('/install-manifest.json') ? [path] : []
  })
}
