/** The administrator's configuration: made where it is missing, and what the installer's options write into it. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { loadNamed } from '../cli/policy/files.ts'
import { makeDirectory, writeFileAtomic } from '../daemon/base/durable/files.ts'
import { type Config, defaultConfigFile, loadConfig } from '../daemon/config/config.ts'
import { programRoot } from '../daemon/supervisor/program.ts'
import { InstallError } from './install-error.ts'
import type { OpenManifest } from './manifest.ts'
import { settingOf, withSetting } from './settings.ts'

export interface WantedSettings {
  /** A policy's name, or the file of one. */
  readonly policy?: string | undefined
  readonly chain?: { readonly name: string; readonly rpc: readonly string[] } | undefined
}

/** Where everything lies. */
export interface ConfigurationPlaces {
  readonly file: string
  readonly shipped: string
}

const PLACES: ConfigurationPlaces = {
  file: defaultConfigFile,
  shipped: `${programRoot}/installers/gateway.yaml`,
}

const read = (file: string) =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })

const digest = (text: string) => createHash('sha256').update(text).digest('hex')

/**
 * @returns the configuration in force, and whether it is another than before
 * @throws InstallError CONFIGURATION_STANDS where an edited configuration says something else; ConfigError, PolicyError
 */
export async function writeConfiguration(
  manifest: OpenManifest,
  wanted: WantedSettings,
  { file, shipped }: ConfigurationPlaces = PLACES,
): Promise<{ config: Config; changed: boolean }> {
  const before = await read(file)
  let text = before ?? (await readFile(shipped, 'utf8'))
  if (wanted.policy !== undefined) {
    const { policiesDir } = before === undefined ? loadConfig(shipped) : loadConfig(file)
    text = withSetting(text, 'policy', await policyName(manifest, wanted.policy, policiesDir))
  }
  if (wanted.chain !== undefined) text = withSetting(text, 'chains', chains(wanted.chain))
  if (text !== before) {
    if (before !== undefined && !isOurs(manifest, file, before)) throw stands(file, before, text)
    await manifest.add({ kind: 'configuration', path: file, sha256: digest(text) })
    await writeFileAtomic(file, Buffer.from(text), { mode: 0o644 })
  }
  return { config: loadConfig(file), changed: before !== undefined && text !== before }
}

const chains = ({ name, rpc }: NonNullable<WantedSettings['chain']>) => [
  rpc.length === 0 ? { name } : { name, rpc: [...rpc] },
]

/** Still as an install wrote it. */
function isOurs(manifest: OpenManifest, path: string, text: string): boolean {
  const sha256 = digest(text)
  return manifest.steps.some(
    (entry) => entry.kind === 'configuration' && entry.path === path && entry.sha256 === sha256,
  )
}

/** The name to write down; a file is checked, and copied to the administrator's policies. */
async function policyName(manifest: OpenManifest, word: string, policiesDir: string): Promise<string> {
  const { name } = loadNamed(word, policiesDir).policy
  if (!/[/\\]|\.yaml$/.test(word)) return name
  const target = join(policiesDir, `${name}.yaml`)
  const source = await readFile(resolve(word), 'utf8')
  const there = await read(target)
  if (there === source) return name
  if (there !== undefined && !isOurs(manifest, target, there)) {
    throw new InstallError(
      'CONFIGURATION_STANDS',
      `another policy is in ${target} already, and somebody has edited it`,
      `Compare the two (agent-anchor policy diff ${word} ${target}); then put ${basename(word)} there yourself, or give it another name.`,
    )
  }
  await makeDirectory(policiesDir, { mode: 0o755 })
  await manifest.add({ kind: 'configuration', path: target, sha256: digest(source) })
  await writeFileAtomic(target, Buffer.from(source), { mode: 0o644 })
  return name
}

function stands(file: string, before: string, text: string): InstallError {
  const keys = (['policy', 'chains'] as const).filter(
    (key) => withSetting(before, key, settingOf(text, key)) !== before,
  )
  return new InstallError(
    'CONFIGURATION_STANDS',
    `${file} says something else, and somebody has edited it since it was installed`,
    `Write this into it yourself, then run install.sh without --policy and --chain:\n${keys
      .map((key) => withSetting('', key, settingOf(text, key)).trim())
      .join('\n')}`,
  )
}
