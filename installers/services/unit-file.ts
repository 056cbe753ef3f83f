/** Units and init scripts, from their templates. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { programRoot } from '../../daemon/supervisor/program.ts'
import type { Directories, ServiceHost } from './service-manager.ts'

/** @param also further marks, each with what takes its place */
export async function renderUnit(
  host: ServiceHost,
  { stateDir, runtimeDir, logDir }: Directories,
  template: string,
  also: Readonly<Record<string, string>> = {},
): Promise<string> {
  const marks: Readonly<Record<string, string>> = {
    '@STATE_DIR@': stateDir,
    '@RUNTIME_DIR@': runtimeDir,
    '@LOG_DIR@': logDir,
    '@NFT@': (await host.run('sh', '-c', 'command -v nft')).trim(),
    '@PROGRAM@': `${programRoot}/cli/agent-anchor`,
    ...also,
  }
  const text = await readFile(`${programRoot}/installers/${template}`, 'utf8')
  return Object.entries(marks).reduce((so, [mark, value]) => so.replaceAll(mark, () => value), text)
}

/** @returns whether the file is another than before */
export async function writeUnit(
  host: ServiceHost,
  path: string,
  text: string,
  mode: number,
): Promise<boolean> {
  const file = `${host.root}${path}`
  const before = existsSync(file) ? await readFile(file, 'utf8') : undefined
  if (before === text) return false
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text, { mode })
  return true
}
