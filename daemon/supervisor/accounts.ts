/** The system accounts that the daemon's children run under, read from the account database. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { SupervisorError } from './supervisor-error.ts'

const run = promisify(execFile)

export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

export const PROXY_ACCOUNT = 'agent-anchor-proxy'
export const RECORDER_ACCOUNT = 'agent-anchor'
export const SENSOR_ACCOUNT = 'agent-anchor-sensor'
export const ACCOUNTS = [RECORDER_ACCOUNT, PROXY_ACCOUNT, SENSOR_ACCOUNT] as const

/** @throws SupervisorError ACCOUNT_MISSING where the installer has not made it. */
export async function account(name: string): Promise<Account> {
  // getent asks NSS as login does; /etc/passwd alone would miss accounts of a directory service.
  const line = await run('getent', ['passwd', name], {
    env: { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin' },
  })
    .then((r) => r.stdout.trim())
    .catch(() => '')
  const [, , uid, gid] = line.split(':')
  if (uid === undefined || gid === undefined || !/^[0-9]+$/.test(uid) || !/^[0-9]+$/.test(gid)) {
    throw new SupervisorError(
      'ACCOUNT_MISSING',
      `the system account ${name} does not exist`,
      'Run installers/install.sh: it makes the accounts.',
    )
  }
  if (uid === '0') {
    throw new SupervisorError(
      'ACCOUNT_MISSING',
      `the account ${name} is root`,
      `Give ${name} a uid of its own.`,
    )
  }
  return { name, uid: Number(uid), gid: Number(gid) }
}
