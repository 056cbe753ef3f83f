/** The administrator's configuration: made where it is missing, and what the installer's options write into it. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, readFile } from 'node:fs/promises'
import { type Config, defaultConfigFile, loadConfig } from '../daemon/config/config.ts'
import { programRoot } from '../daemon/supervisor/program.ts'
import type { OpenManifest } from './manifest.ts'

export async function writeConfiguration(manifest: OpenManifest): Promise<Config> {
  if (!existsSync(defaultConfigFile)) {
    const shipped = `${programRoot}/installers/gateway.yaml`
    const sha256 = createHash('sha256')
      .update(await readFile(shipped))
      .digest('hex')
    await manifest.add({ kind: 'configuration', path: defaultConfigFile, sha256 })
    await copyFile(shipped, defaultConfigFile)
  }
  return loadConfig(defaultConfigFile)
}
