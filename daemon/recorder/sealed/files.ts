/** Names of the numbered files of a directory: `0000000001.seg`, `0000000001.pack`. */
import { readdirSync } from 'node:fs'
import type { Purpose } from './format.ts'

const SUFFIX: Record<Purpose, string> = { journal: '.seg', pack: '.pack' }

export function sealedName(purpose: Purpose, number: number): string {
  return String(number).padStart(10, '0') + SUFFIX[purpose]
}

/** Numbers of the files that are there, ascending; none where the directory is absent. */
export function sealedNumbers(dir: string, purpose: Purpose): number[] {
  let names: string[]
  try {
    names = readdirSync(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  const pattern = new RegExp(`^(\\d{10})\\${SUFFIX[purpose]}$`)
  return names
    .flatMap((name) => pattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
}
