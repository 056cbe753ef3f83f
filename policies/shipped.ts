import { lstatSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The policies and the catalogue that came with this program. They are never edited: a file of the same name in
 * the administrator's directory takes the place of one of them.
 */
export const shippedDirectory: string = import.meta.dirname

export const CATALOGUE_FILE = 'providers.yaml'
export const RESOLVERS_FILE = 'resolvers.yaml'

/** The administrator's file of that name in `dir`, or else the shipped one (which may not exist either). */
export function policyFile(dir: string, name: string): string {
  const own = join(dir, name)
  return stands(own) ? own : join(shippedDirectory, name)
}

/** True also for a dangling link and for what can't be looked at: then reading it fails, and nothing else is used instead. */
function stands(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    return true
  }
}
