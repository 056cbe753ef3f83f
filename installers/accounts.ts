/** The system accounts that the daemon's children run under, by shadow's tools or by BusyBox's. */
import { existsSync } from 'node:fs'
import { ACCOUNTS, PROXY_ACCOUNT, RECORDER_ACCOUNT, SENSOR_ACCOUNT } from '../daemon/supervisor/accounts.ts'
import { InstallError } from './install-error.ts'
import type { OpenManifest } from './manifest.ts'
import { run as runOnMachine } from './run.ts'

/** What a distribution brings along, as a test can stand in for it. */
export interface AccountTools {
  run(command: string, ...args: string[]): Promise<string>
  /** Whether a program is there. */
  has(program: string): boolean
}

const DIRECTORIES = ['/usr/sbin', '/usr/bin', '/sbin', '/bin']
const machineTools: AccountTools = {
  run: runOnMachine,
  has: (program) => DIRECTORIES.some((directory) => existsSync(`${directory}/${program}`)),
}

/** @returns a line for the administrator */
export async function makeAccounts(manifest: OpenManifest, tools = machineTools): Promise<string> {
  for (const name of ACCOUNTS) {
    if (await isThere('passwd', name, tools)) continue
    await manifest.add({ kind: 'account', name })
    await makeAccount(name, tools)
  }
  return `${RECORDER_ACCOUNT} (records, chain), ${PROXY_ACCOUNT} (connections), ${SENSOR_ACCOUNT} (packets)`
}

async function makeAccount(name: string, { run, has }: AccountTools): Promise<void> {
  const home = '/nonexistent'
  const shell = has('nologin') && !existsSync('/usr/sbin/nologin') ? '/sbin/nologin' : '/usr/sbin/nologin'
  if (has('useradd')) {
    const options = ['--system', '--user-group', '--no-create-home', '--home-dir', home, '--shell', shell]
    await run('useradd', ...options, name)
  } else if (has('adduser') && has('addgroup')) {
    await run('addgroup', '-S', name)
    await run('adduser', '-S', '-D', '-H', '-h', home, '-s', shell, '-G', name, name)
  } else {
    throw new InstallError(
      'NO_ACCOUNT_TOOL',
      `the account ${name} can't be made: neither useradd nor BusyBox's adduser is here`,
      "Install this system's package with useradd (shadow, passwd or shadow-utils) and run the installer again.",
    )
  }
}

/** The account and its group, as far as they are there. */
export async function removeAccount(name: string, tools = machineTools): Promise<void> {
  const { run, has } = tools
  if (await isThere('passwd', name, tools)) await run(has('userdel') ? 'userdel' : 'deluser', name)
  // userdel takes the group along only where login.defs says so (USERGROUPS_ENAB).
  if (await isThere('group', name, tools)) await run(has('groupdel') ? 'groupdel' : 'delgroup', name)
}

const isThere = (database: 'passwd' | 'group', name: string, { run }: AccountTools): Promise<boolean> =>
  run('getent', database, name).then(
    () => true,
    () => false,
  )
