import { existsSync } from 'node:fs'

/** The laboratory's own corner of its private file system. The sh script `private-root.sh` lays it out. */
export const LABORATORY = '/run/laboratory'

/** The repository or installation, bound here so that every uid of the laboratory can read it. */
export const REPOSITORY = `${LABORATORY}/repository`

/** A client certificate with its key that the wide internet's sites accept, for any agent. */
export const CLIENT_CERTIFICATE = `${LABORATORY}/client.pem`

/** The Node that entered, bound here for the same reason. */
export const NODE = `${LABORATORY}/bin/node`

/** A login's search path, as Debian's `/etc/login.defs` sets it. */
export const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Whether this process lives in a laboratory. The variable alone would not do: somebody may export it,
 * and then tests would load rules into the machine's own kernel.
 */
export function insideLab(): boolean {
  return process.env.LABORATORY === '1' && existsSync(`${LABORATORY}/entered`)
}
