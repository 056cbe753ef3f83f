/** The system accounts that the daemon's children run under. */
import { PROXY_ACCOUNT, RECORDER_ACCOUNT, SENSOR_ACCOUNT } from '../daemon/supervisor/accounts.ts'
import type { OpenManifest } from './manifest.ts'
import { run, succeeds } from './run.ts'

/** @returns a line for the administrator */
export async function makeAccounts(manifest: OpenManifest): Promise<string> {
  for (const name of [RECORDER_ACCOUNT, PROXY_ACCOUNT, SENSOR_ACCOUNT]) {
    if (await succeeds('getent', 'passwd', name)) continue
    await manifest.add({ kind: 'account', name })
    await run(
      'useradd',
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
      name,
    )
  }
  return `${RECORDER_ACCOUNT} (records, chain), ${PROXY_ACCOUNT} (connections), ${SENSOR_ACCOUNT} (packets)`
}
