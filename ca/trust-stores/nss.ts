/**
 * NSS databases of one user: ~/.pki/nssdb, which Chromium and Electron programs read beside their own roots, and the
 * profiles of Firefox, in their snap and flatpak places too. Only databases that are there are touched.
 *
 * Threat: a home directory is its user's, who may put a link, a pipe or a hanging file system anywhere in it. So
 * nothing here is looked at or opened with root's rights: finding and certutil(1) run as that user, in a session of
 * their own (no terminal to write to), for a bounded time, and what they print is only searched for our certificate.
 */
import { X509Certificate } from 'node:crypto'
import { messageOf } from '../../daemon/base/errors.ts'
import { AUTHORITY_NAME } from '../authority-name.ts'
import { CaError } from '../ca-error.ts'
import { authorities, base64Of } from './authorities.ts'
import { type LocalUser, localUser } from './local-users.ts'
import { type RunCommand, runCommand } from './run-command.ts'
import type { TrustState, TrustStore } from './trust-store.ts'

const PLACES = [
  '.pki/nssdb',
  'snap/*/current/.pki/nssdb',
  '.var/app/*/.pki/nssdb',
  '.mozilla/firefox/*',
  '.config/mozilla/firefox/*',
  'snap/firefox/common/.mozilla/firefox/*',
  '.var/app/org.mozilla.firefox/.mozilla/firefox/*',
]
/** A person has a handful; a thousand made by a user would keep the installer busy for long. */
const MOST_DATABASES = 32
/** Once one has failed: a user who makes each of them hang holds the installer up no longer than this. */
const PATIENCE_MS = 30_000
const FIND = `cd && for d in ${PLACES.join(' ')}; do if [ -f "$d/cert9.db" ]; then printf '%s\\n' "$PWD/$d"; fi; done`
/** Ours in certutil's list: the nickname, which is the common name, and the trust for TLS, mail and code. */
const LISTED = new RegExp(`^(${AUTHORITY_NAME} [0-9a-f]{8})\\s+(\\S*)[ \\t]*$`, 'gm')
/** A root of servers; nothing else. */
const TRUST = 'C,,'

export interface NssOptions {
  readonly run?: RunCommand
}

/** The databases in a user's home; none where there are none or the user doesn't let us find them. */
export async function nssDatabases(user: LocalUser, run: RunCommand): Promise<string[]> {
  const found = await run('/bin/sh', ['-c', FIND], { as: user }).catch(() => '')
  return found.split('\n').filter(Boolean).slice(0, MOST_DATABASES)
}

export function nssTrustStore(name: string, { run = runCommand }: NssOptions = {}): TrustStore {
  async function databases(): Promise<{ user: LocalUser; paths: string[] } | undefined> {
    const user = await localUser(name, run)
    if (user === undefined) return undefined
    const paths = await nssDatabases(user, run)
    return paths.length === 0 ? undefined : { user, paths }
  }

  async function certutil(user: LocalUser, path: string, args: readonly string[], input = '') {
    try {
      return await run('certutil', [...args, '-d', `sql:${path}`], { as: user, input })
    } catch (cause) {
      throw failed(user, path, cause)
    }
  }

  async function listed(user: LocalUser, path: string): Promise<Map<string, string>> {
    const text = await certutil(user, path, ['-L'])
    return new Map([...text.matchAll(LISTED)].map(([, nickname, trust]) => [nickname!, trust!]))
  }

  async function state(user: LocalUser, path: string, wanted: readonly string[]): Promise<TrustState> {
    const there = await listed(user, path)
    if (there.size === 0) return 'absent'
    if (there.size !== wanted.length) return 'stale'
    for (const pem of wanted) {
      const nickname = nicknameOf(pem)
      if (there.get(nickname) !== TRUST) return 'stale'
      const kept = await certutil(user, path, ['-L', '-a', '-n', nickname])
      if (base64Of(kept) !== base64Of(pem)) return 'stale'
    }
    return 'trusted'
  }

  return {
    name: `nss:${name}`,
    where: `NSS databases of ${name} (Chromium's and Electron's, Firefox's profiles)`,
    system: false,
    async check(certificates) {
      const wanted = authorities(certificates)
      const found = await databases()
      if (found === undefined) return 'unsupported'
      const states = new Set<TrustState>()
      await each(found.paths, async (path) => {
        states.add(await state(found.user, path, wanted))
      })
      return states.size === 1 ? [...states][0]! : 'stale'
    },
    async install(certificates) {
      const wanted = authorities(certificates)
      const found = await databases()
      if (found === undefined) {
        throw new CaError(
          'trust-store-unsupported',
          `${name} has no NSS database`,
          `Let ${name} start the browser once, which makes it, and run this again.`,
        )
      }
      const { user, paths } = found
      await each(paths, async (path) => {
        if ((await state(user, path, wanted)) === 'trusted') return
        for (const nickname of (await listed(user, path)).keys())
          await certutil(user, path, ['-D', '-n', nickname])
        for (const pem of wanted)
          await certutil(user, path, ['-A', '-t', TRUST, '-n', nicknameOf(pem), '-a'], pem)
      })
    },
    async uninstall() {
      const found = await databases()
      if (found === undefined) return
      const { user, paths } = found
      await each(paths, async (path) => {
        for (const nickname of (await listed(user, path)).keys())
          await certutil(user, path, ['-D', '-n', nickname])
      })
    },
  }
}

/** One that fails (it has a password of its own, say) doesn't keep the others from being done. */
async function each(paths: readonly string[], work: (path: string) => Promise<void>): Promise<void> {
  let failed: unknown
  const end = Date.now() + PATIENCE_MS
  for (const path of paths) {
    if (failed !== undefined && Date.now() > end) break
    await work(path).catch((error: unknown) => {
      failed ??= error
    })
  }
  if (failed !== undefined) throw failed
}

function nicknameOf(pem: string): string {
  return /^CN=(.*)$/m.exec(new X509Certificate(pem).subject)?.[1] ?? AUTHORITY_NAME
}

function failed(user: LocalUser, path: string, cause: unknown): CaError {
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
    return new CaError(
      'trust-store-tool-missing',
      'certutil was not found',
      'Install it (Debian: apt-get install libnss3-tools; Fedora: nss-tools; Arch: nss; SUSE: mozilla-nss-tools) and run this again.',
      cause,
    )
  }
  return new CaError(
    'trust-store-refresh-failed',
    `the database ${path} of ${user.name} could not be read or changed: ${messageOf(cause)}`,
    `As ${user.name}: certutil -A -t ${TRUST} -n agent-anchor -a -d 'sql:${path}' < CERTIFICATE (it asks for the database's password, if it has one).`,
    cause,
  )
}
