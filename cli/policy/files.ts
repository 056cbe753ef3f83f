/** Policies as they are named on a command line: by name, or by a file of theirs. */
import { basename, dirname, resolve } from 'node:path'
import { loadCatalogue } from '../../policies/catalogue.ts'
import { loadPolicy, type Rules } from '../../policies/policy.ts'
import { loadResolvers } from '../../policies/resolvers.ts'
import { CATALOGUE_FILE, RESOLVERS_FILE } from '../../policies/shipped.ts'

interface Place {
  readonly dir: string
  readonly name: string
}

const FILE = /[/\\]|\.yaml$/

/** Of a name in the administrator's directory, or of a file: also a drop-in's, whose policy is then meant. */
export function placeOf(word: string, policiesDir: string): Place {
  if (!FILE.test(word)) return { dir: policiesDir, name: word }
  const file = resolve(word)
  const directory = dirname(file)
  if (directory.endsWith('.d')) return { dir: dirname(directory), name: basename(directory, '.d') }
  return { dir: directory, name: basename(file, '.yaml') }
}

/** @throws PolicyError */
export const loadNamed = (word: string, policiesDir: string): Rules => loadPolicy(placeOf(word, policiesDir))

/** @returns what the file is, where it is as it must be. @throws PolicyError */
export function validated(word: string, policiesDir: string): string {
  const name = basename(word)
  if (FILE.test(word) && name === CATALOGUE_FILE) {
    return `a catalogue of ${loadCatalogue(resolve(word)).providers.length} providers`
  }
  if (FILE.test(word) && name === RESOLVERS_FILE) {
    loadResolvers(resolve(word))
    return 'a list of DNS services'
  }
  const { policy } = loadNamed(word, policiesDir)
  return `the policy ${policy.name}, hash ${policy.hash}`
}
