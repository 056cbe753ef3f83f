/** The directories of a running gateway, with their owners: made or mended at each start. */
import { chmod, chown, lchown, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory } from '../base/durable/files.ts'
import type { Config } from '../config/config.ts'
import type { Account } from './accounts.ts'
import type { Layout } from './layout.ts'

export async function makeDirectories(
  config: Pick<Config, 'stateDir' | 'runtimeDir' | 'logDir'>,
  paths: Layout,
  accounts: { readonly proxy: Account; readonly recorder: Account },
): Promise<void> {
  const root = { uid: 0, gid: 0 }
  const recorder = accounts.recorder
  const wanted: [path: string, mode: number, owner: { uid: number; gid: number }][] = [
    // Listable by nobody but root: the names of what is kept are nobody's business.
    [config.stateDir, 0o711, root],
    [paths.caDirectory, 0o755, root],
    [paths.keysDirectory, 0o711, root],
    [`${config.stateDir}/firewall`, 0o700, root],
    [paths.recorderState, 0o700, recorder],
    [paths.chainState, 0o700, recorder],
    [paths.authorizations, 0o755, root],
    [paths.witnessState, 0o700, recorder],
    [paths.developmentChainState, 0o700, recorder],
    [config.runtimeDir, 0o755, root],
    [paths.recorderSocketDirectory, 0o750, { uid: recorder.uid, gid: accounts.proxy.gid }],
    [paths.adminDirectory, 0o700, recorder],
    [paths.statusDirectory, 0o755, recorder],
    [config.logDir, 0o750, root],
  ]
  for (const [path, mode, owner] of wanted) {
    await makeDirectory(path, { mode })
    await give(path, owner)
    await chmod(path, mode)
  }
}

/** After an uninstall that kept the state everything below belongs to root: then all of it changes hands. */
async function give(path: string, owner: { uid: number; gid: number }): Promise<void> {
  const before = await stat(path)
  if (before.uid === owner.uid && before.gid === owner.gid) return
  const below = owner.uid === 0 ? [] : await readdir(path, { recursive: true })
  for (const name of below) await lchown(join(path, name), owner.uid, owner.gid)
  await chown(path, owner.uid, owner.gid)
}
