/** Looks for keys where none may be: their bytes, hex, and base64 wherever in a longer text it begins. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface Needle {
  readonly name: string
  readonly bytes: Buffer
  readonly forms: readonly Buffer[]
}

export function needle(name: string, bytes: Buffer): Needle {
  const hex = bytes.toString('hex')
  // Three bytes make four letters: what comes before moves the rest by nought, one or two bytes.
  const texts = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    // Letters that hold bits of a neighbour are left out.
    const own = text.slice(shift === 0 ? 0 : shift + 1, -1)
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')]
  })
  const reversed = Buffer.from(bytes).reverse()
  const forms = [bytes, reversed, ...[hex, hex.toUpperCase(), ...texts].map((text) => Buffer.from(text))]
  return { name, bytes, forms }
}

/** Names of those that are in `bytes`. */
export const search = (bytes: Buffer, needles: readonly Needle[]): string[] =>
  needles.filter(({ forms }) => forms.some((form) => bytes.includes(form))).map(({ name }) => name)

/** `NAME in FILE` for each that is below one of the places. */
export function searchFiles(places: readonly string[], needles: readonly Needle[]): string[] {
  const files = places.flatMap((place) =>
    readdirSync(place, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  )
  return files.flatMap((file) => {
    try {
      return search(readFileSync(file), needles).map((name) => `${name} in ${file}`)
    } catch (error) {
      // The gateway works on: a file may go while it is looked for.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  })
}

/** What gcore(1) writes of a process, as root would. */
export async function coreOf(pid: number): Promise<Buffer> {
  const directory = mkdtempSync(join(tmpdir(), 'core-'))
  try {
    await promisify(execFile)('gcore', ['-o', join(directory, 'core'), String(pid)], { maxBuffer: 1 << 26 })
    return readFileSync(join(directory, `core.${pid}`))
  } finally {
    rmSync(directory, { recursive: true })
  }
}
