/** An SSH server on the relay that forwards for its one user, and that user's key. Real programs, both ends. */
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { RELAY, RELAY_PORTS } from './addresses.ts'
import { LabError } from './lab-error.ts'
import { spawnIn } from './network.ts'
import { LABORATORY, PATH } from './places.ts'
import { tool } from './process.ts'
import type { User } from './users.ts'

interface SshServer {
  /** Options and destination of `ssh` for the user, to which `-L` or `-D` is added. */
  readonly argv: readonly string[]
  stop(): Promise<void>
}

/** @throws LabError `program-missing` where dropbear or ssh isn't installed */
export async function startSshServer(user: User): Promise<SshServer> {
  const hostKey = `${LABORATORY}/dropbear.key`
  const userKey = `${user.home}/relay.key`
  try {
    await tool(['dropbearkey', '-t', 'ed25519', '-f', hostKey])
    await tool(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', userKey])
  } catch (error) {
    throw new LabError(
      'program-missing',
      'no dropbear or ssh',
      'apt-get install dropbear-bin openssh-client',
      error,
    )
  }
  await chown(userKey, user.uid, user.gid)
  await mkdir('/root/.ssh', { recursive: true, mode: 0o700 })
  await writeFile('/root/.ssh/authorized_keys', await readFile(`${userKey}.pub`), { mode: 0o600 })
  const ports = [RELAY.address4, `[${RELAY.address6}]`].flatMap((address) => [
    '-p',
    `${address}:${RELAY_PORTS.ssh}`,
  ])
  const child = spawnIn(
    'internet',
    'root',
    ['dropbear', '-F', '-E', '-s', '-r', hostKey, '-P', '', ...ports],
    {
      env: { PATH },
      stdio: ['ignore', 'ignore', 'ignore'],
    },
  )
  const gone = new Promise<void>((done) => child.once('close', () => done()))
  return {
    argv: [
      ...[
        'ssh',
        '-F',
        '/dev/null',
        '-i',
        userKey,
        '-N',
        '-o',
        'BatchMode=yes',
        '-o',
        'ExitOnForwardFailure=yes',
      ],
      ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'ConnectTimeout=8'],
      `root@${RELAY.name}`,
    ],
    async stop() {
      child.kill('SIGKILL')
      await gone
    },
  }
}
