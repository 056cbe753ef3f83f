/**
 * The install manifest: what the installer added to this machine, each entry with what undoing it needs. Written
 * before the thing itself, so that an install which dies half-way can be undone too.
 */
import { readFile, rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { makeDirectory, writeFileAtomic } from '../daemon/base/durable/files.ts'
import { InstallError } from './install-error.ts'

const Entry = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('program'), path: z.string() }),
  z.strictObject({ kind: z.literal('account'), name: z.string() }),
  z.strictObject({ kind: z.literal('link'), path: z.string(), target: z.string() }),
  z.strictObject({ kind: z.literal('directory'), path: z.string() }),
  z.strictObject({ kind: z.literal('command-file'), path: z.string(), sha256: z.string() }),
  z.strictObject({ kind: z.literal('configuration'), path: z.string(), sha256: z.string() }),
  z.strictObject({ kind: z.literal('state'), path: z.string() }),
  z.strictObject({ kind: z.literal('host-key'), path: z.string() }),
  z.strictObject({ kind: z.literal('trust-store'), name: z.string() }),
  z.strictObject({ kind: z.literal('environment'), name: z.string() }),
  z.strictObject({ kind: z.literal('fence') }),
  z.strictObject({ kind: z.literal('unit'), name: z.string(), path: z.string() }),
  z.strictObject({ kind: z.literal('detached'), runtimeDir: z.string() }),
])
export type ManifestEntry = z.infer<typeof Entry>

const Manifest = z.strictObject({ v: z.literal(1), steps: z.array(Entry) })

export const MANIFEST_FILE = '/etc/agent-anchor/install-manifest.json'

export interface OpenManifest {
  readonly steps: readonly ManifestEntry[]
  /** Records an entry; one that is recorded already stays once. */
  add(entry: ManifestEntry): Promise<void>
  /** The file goes with the last entry. */
  drop(entry: ManifestEntry): Promise<void>
  /** What was recorded since it held `before`, in the order in which it was. */
  added(before: readonly ManifestEntry[]): ManifestEntry[]
}

/** @throws InstallError MANIFEST_DAMAGED where the file can't be read as a manifest. */
export async function openManifest(file = MANIFEST_FILE): Promise<OpenManifest> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  const steps = text === undefined ? [] : parse(text, file)
  const save = async () => {
    await makeDirectory(dirname(file), { mode: 0o755 })
    await writeFileAtomic(file, Buffer.from(`${JSON.stringify({ v: 1, steps }, null, 2)}\n`), { mode: 0o644 })
  }
  const remove = async () => {
    await rm(file, { force: true })
    // Where the administrator has nothing else in it.
    await rmdir(dirname(file)).catch(() => {})
  }
  const at = (entry: ManifestEntry) => steps.findIndex((known) => isDeepStrictEqual(known, entry))
  return {
    steps,
    async add(entry) {
      if (at(entry) >= 0) return
      steps.push(entry)
      await save()
    },
    async drop(entry) {
      const index = at(entry)
      if (index < 0) return
      steps.splice(index, 1)
      await (steps.length === 0 ? remove() : save())
    },
    added: (before) => steps.filter((entry) => !before.some((known) => isDeepStrictEqual(known, entry))),
  }
}

function parse(text: string, file: string): ManifestEntry[] {
  try {
    return Manifest.parse(JSON.parse(text)).steps
  } catch (error) {
    throw new InstallError(
      'MANIFEST_DAMAGED',
      `${file} is not an install manifest`,
      `Move ${file} away and run installers/install.sh again: it finds what is there and writes a new one.`,
      error,
    )
  }
}
