/** The users and groups that a policy names, looked up in the account database. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Policy } from '../../policies/policy.ts'
import { type Accounts, accountsIn } from './enforcement-of.ts'

const run = promisify(execFile)

/** A directory service that doesn't answer must not hold up the start for longer than this for a name. */
const LOOKUP_MS = 5000

/** @returns what was found; a name that isn't there, or can't be looked up, is undefined */
export async function policyAccounts(policy: Policy): Promise<Accounts> {
  const { users, groups } = accountsIn(policy)
  const [uids, gids] = await Promise.all([lookUp('passwd', users), lookUp('group', groups)])
  return { user: (name) => uids.get(name), group: (name) => gids.get(name) }
}

async function lookUp(database: 'passwd' | 'group', names: readonly string[]): Promise<Map<string, number>> {
  const ids = await Promise.all(names.map((name) => idOf(database, name)))
  return new Map(names.flatMap((name, i) => (ids[i] === undefined ? [] : [[name, ids[i]]])))
}

async function idOf(database: 'passwd' | 'group', name: string): Promise<number | undefined> {
  // getent asks NSS as login does: the files alone would miss the accounts of a directory service.
  const line = await run('getent', [database, '--', name], {
    env: { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin' },
    timeout: LOOKUP_MS,
  })
    .then(({ stdout }) => stdout.trim())
    .catch(() => '')
  // passwd(5) and group(5) both have the id third.
  const id = line.split(':')[2] ?? ''
  return /^[0-9]{1,10}$/.test(id) ? Number(id) : undefined
}
