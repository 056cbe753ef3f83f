/** Units and init scripts, from their templates. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { programRoot } from '../../daemon/supervisor/program.ts'
import { FENCE_TABLE, REDIRECT_TABLE } from '../../firewall/nftables.ts'
import type { Directories, ServiceHost } from './service-manager.ts'

/** @param also further marks, each with what takes its place */
export async function renderUnit(
  host: ServiceHost,
  { stateDir, runtimeDir, logDir }: Directories,
  template: string,
  also: Readonly<Record<string, string>> = {},
): Promise<string> {
  const nft = (await host.run('sh', '-c', 'command -v nft')).trim()
  const marks: Readonly<Record<string, string>> = {
    '@STATE_DIR@': stateDir,
    '@RUNTIME_DIR@': runtimeDir,
    '@LOG_DIR@': logDir,
    '@NFT@': nft,
    // Conditions of a shell. A table with an owner goes with its process (nft(8)): a daemon's last word can't be stale.
    '@DAEMON_LIVES@': `${nft} -t list table inet ${REDIRECT_TABLE} 2>/dev/null | grep -q "flags owner"`,
    '@FENCE_STANDS@': `${nft} -t list table inet ${FENCE_TABLE} >/dev/null 2>&1`,
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
