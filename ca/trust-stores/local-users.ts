/** The users in whose home directories stores may lie. */
import type { RunAs, RunCommand } from './run-command.ts'

export interface LocalUser extends RunAs {
  readonly name: string
}

/** login.defs(5): UID_MIN of every distribution that is supported; above it, nobody and dynamic users. */
const FIRST_UID = 1000
const LAST_UID = 60_000

/** Root and the people of this machine. Service accounts have no browser. */
export async function localUsers(run: RunCommand): Promise<LocalUser[]> {
  return parse(await run('getent', ['passwd'])).filter(
    ({ uid }) => uid === 0 || (uid >= FIRST_UID && uid <= LAST_UID),
  )
}

/** Undefined where there is no such user (any more). */
export async function localUser(name: string, run: RunCommand): Promise<LocalUser | undefined> {
  return parse(await run('getent', ['passwd'])).find((user) => user.name === name)
}

/** passwd(5): name:password:uid:gid:comment:home:shell */
function parse(text: string): LocalUser[] {
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid, , home] = line.split(':')
    if (!name || !/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '') || !home?.startsWith('/')) return []
    return [{ name, uid: Number(uid), gid: Number(gid), home }]
  })
}
