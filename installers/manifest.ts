/**
 * The install manifest: what the installer did to this machine, each entry with what undoing it needs. Written
 * before each step is taken, so that an install which dies half-way can be undone too.
 */
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { makeDirectory, writeFileAtomic } from '../daemon/base/durable.ts'
import { InstallError } from './install-error.ts'

const Step = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('program'), path: z.string() }),
  z.strictObject({ kind: z.literal('account'), name: z.string() }),
  z.strictObject({ kind: z.literal('link'), path: z.string(), target: z.string() }),
  z.strictObject({ kind: z.literal('configuration'), path: z.string(), sha256: z.string() }),
  z.strictObject({ kind: z.literal('state'), path: z.string() }),
  z.strictObject({ kind: z.literal('host-key'), path: z.string() }),
  z.strictObject({ kind: z.literal('trust-store'), name: z.string() }),
  z.strictObject({ kind: z.literal('environment'), name: z.string() }),
  z.strictObject({ kind: z.literal('fence') }),
  z.strictObject({ kind: z.literal('unit'), name: z.string(), path: z.string() }),
  z.strictObject({ kind: z.literal('detached'), runtimeDir: z.string() }),
])
export type Step = z.infer<typeof Step>

const Manifest = z.strictObject({ v: z.literal(1), steps: z.array(Step) })

export const MANIFEST_FILE = '/etc/agent-anchor/install-manifest.json'

export interface OpenManifest {
  readonly steps: readonly Step[]
  /** Records a step; a step already recorded stays once. */
  add(step: Step): Promise<void>
  drop(step: Step): Promise<void>
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
  const at = (step: Step) => steps.findIndex((known) => JSON.stringify(known) === JSON.stringify(step))
  return {
    steps,
    async add(step) {
      if (at(step) >= 0) return
      steps.push(step)
      await save()
    },
    async drop(step) {
      const index = at(step)
      if (index < 0) return
      steps.splice(index, 1)
      await save()
    },
  }
}

function parse(text: string, file: string): Step[] {
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
