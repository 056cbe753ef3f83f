/** State directories in which damage is tried: the running gateway's, and copies. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Evidence, openEvidence } from '../../../cli/evidence.ts'

/** A state directory and the configuration that names it. */
export interface Place {
  readonly state: string
  readonly config: string
}

/** In memory, on the file system of the state directory, so that files can be moved out of it. */
export const AWAY = '/var/lib/away'

/** Every file of a state directory, relative to it. */
export const filesOf = (state: string): string[] =>
  readdirSync(state, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(state, join(entry.parentPath, entry.name)))
    .sort()

/** Name and content of these files. */
export const fingerprint = (state: string, files: readonly string[]): string[] =>
  files.map(
    (file) =>
      `${file} ${createHash('sha256')
        .update(readFileSync(join(state, file)))
        .digest('hex')}`,
  )

export const evidenceOf = (place: Place): Promise<Evidence> =>
  openEvidence({ config: place.config, json: false }, 'verify')

/** Copies of a state directory, in which changes are tried at the same time: verify waits more than it works. */
export function copies(state: string, name: string, count: number): Place[] {
  return Array.from({ length: count }, (_, i) => {
    const copy = join(AWAY, `${name}-${i}`)
    execFileSync('cp', ['-a', state, copy])
    const config = join(AWAY, `${name}-${i}.yaml`)
    writeFileSync(config, `stateDir: ${copy}\n`)
    return { state: copy, config }
  })
}
