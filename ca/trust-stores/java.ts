/**
 * The keystore of a JDK that brings its own `cacerts` (Temurin, Oracle, GraalVM … unpacked or from a vendor's package).
 * A JDK of the distribution links to a keystore that the system's store makes: that one is not ours to write.
 *
 * keytool(1) can't take an entry out so that the file is as before (PKCS#12 salts it anew), so the file from before is
 * kept beside it, under the hash of what we wrote: while that still stands, uninstalling puts the old one back.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, realpath, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { removeFile } from '../../daemon/base/durable/files.ts'
import { messageOf } from '../../daemon/base/errors.ts'
import { CaError } from '../ca-error.ts'
import { writePublicFile } from '../public-file.ts'
import type { StoreOptions } from './anchor-store.ts'
import { authorities, base64Of, oursIn } from './authorities.ts'
import { exists, readNames } from './files.ts'
import { changeableBy } from './roots-alone.ts'
import { runCommand } from './run-command.ts'
import type { TrustStore } from './trust-store.ts'

/** Where JDKs are put, without the leading slash; each holds directories of JDKs. */
const PLACES = [
  'usr/lib/jvm',
  'usr/lib64/jvm',
  'usr/java',
  'usr/local',
  'usr/local/lib/jvm',
  'opt',
  'opt/java',
]
/** Since Java 9, and up to Java 8. */
const KEYSTORES = ['lib/security/cacerts', 'jre/lib/security/cacerts']
/** That of every JDK as it comes; it keeps nobody from reading or writing a file that is root's anyway. */
const PASSWORD = 'changeit'
const ALIASES = ['agent-anchor-gateway', 'agent-anchor-gateway-2']
const BEFORE = '.before-agent-anchor-gateway-'

/** The JDKs with a keystore of their own, by their real paths (below `root`, without it). */
export async function vendorJdks(root = '/'): Promise<string[]> {
  const base = await realpath(root)
  const found = new Set<string>()
  for (const place of PLACES) {
    for (const name of await readNames(join(base, place)).catch(() => [])) {
      const jdk = await realpath(join(base, place, name)).catch(() => undefined)
      if (jdk === undefined || !jdk.startsWith(join(base, '/'))) continue
      const keystore = await ownKeystore(jdk)
      if (keystore !== undefined) found.add(`/${jdk.slice(join(base, '/').length)}`)
    }
  }
  return [...found].sort()
}

/** Undefined for a link to a place outside of the JDK: that is the distribution's keystore. */
async function ownKeystore(jdk: string): Promise<string | undefined> {
  for (const path of KEYSTORES) {
    const real = await realpath(join(jdk, path)).catch(() => undefined)
    if (real !== undefined) return real.startsWith(join(jdk, '/')) ? real : undefined
  }
  return undefined
}

/** @param jdk its directory, as vendorJdks says it */
export function javaTrustStore(jdk: string, { root = '/', run = runCommand }: StoreOptions = {}): TrustStore {
  const directory = join(root, jdk)
  const keytool = join(directory, 'bin/keytool')

  async function keytoolOn(keystore: string, ...args: string[]): Promise<string> {
    try {
      return await run(keytool, [...args, '-keystore', keystore, '-storepass', PASSWORD])
    } catch (cause) {
      throw failed(directory, messageOf(cause), cause)
    }
  }

  async function find(): Promise<string | undefined> {
    const real = await realpath(directory).catch(() => undefined)
    return real === undefined ? undefined : await ownKeystore(real)
  }

  async function findSafe(): Promise<string | undefined> {
    const keystore = await find()
    if (keystore !== undefined) for (const path of [keytool, keystore]) await rootsAlone(path)
    return keystore
  }

  const check: TrustStore['check'] = async (certificates) => {
    const wanted = authorities(certificates)
    const keystore = await findSafe()
    if (keystore === undefined) return 'unsupported'
    const ours = oursIn(await keytoolOn(keystore, '-list', '-rfc'))
    if (ours.size === 0) return (await backups(keystore)).length > 0 ? 'stale' : 'absent'
    return ours.size === wanted.length && wanted.every((pem) => ours.has(base64Of(pem))) ? 'trusted' : 'stale'
  }

  /** The keystore's bytes without ours: those from before us, where nobody has written since. */
  async function without(keystore: string): Promise<Buffer> {
    const now = await readFile(keystore)
    const before = beforeName(keystore, now)
    if (await exists(before)) return await readFile(before)
    return await edited(now, async (copy) => {
      const listed = await keytoolOn(copy, '-list')
      for (const alias of ALIASES)
        if (new RegExp(`^${alias},`, 'm').test(listed)) await keytoolOn(copy, '-delete', '-alias', alias)
    })
  }

  return {
    name: `java:${jdk}`,
    where: `the keystore of ${jdk}`,
    system: false,
    check,
    async install(certificates) {
      const state = await check(certificates)
      if (state === 'trusted') return
      const keystore = await findSafe()
      if (keystore === undefined) throw failed(directory, 'it has no keystore of its own')
      const pristine = await without(keystore)
      const ours = await edited(pristine, async (copy) => {
        for (const [i, pem] of authorities(certificates).entries()) {
          const file = `${copy}.pem`
          await writePublicFile(file, Buffer.from(pem), { mode: 0o600 })
          await keytoolOn(copy, '-importcert', '-noprompt', '-alias', ALIASES[i]!, '-file', file)
        }
      })
      const older = await backups(keystore)
      // Before the keystore itself: a crash in between leaves a file too many, never a keystore without its original.
      await replace(beforeName(keystore, ours), pristine, keystore)
      await replace(keystore, ours, keystore)
      for (const backup of older) if (backup !== beforeName(keystore, ours)) await removeFile(backup)
    },
    async uninstall() {
      const keystore = await find()
      if (keystore === undefined) return
      const left = await backups(keystore)
      // Without the file from before it wasn't we who wrote: a JDK that was never root's has nothing of ours.
      if (left.length === 0) return
      await findSafe()
      if (oursIn(await keytoolOn(keystore, '-list', '-rfc')).size > 0) {
        await replace(keystore, await without(keystore), keystore)
      }
      for (const backup of left) await removeFile(backup)
    },
  }
}

function beforeName(keystore: string, written: Buffer): string {
  return `${keystore}${BEFORE}${createHash('sha256').update(written).digest('hex').slice(0, 16)}`
}

async function backups(keystore: string): Promise<string[]> {
  const names = await readNames(dirname(keystore))
  return names
    .filter((name) => name.startsWith(basename(keystore) + BEFORE))
    .map((name) => join(dirname(keystore), name))
}

/** What `change` makes of these bytes, in a directory of its own: keytool writes a file in place, not at once. */
async function edited(bytes: Buffer, change: (copy: string) => Promise<void>): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'agent-anchor-'))
  try {
    const copy = join(directory, 'cacerts')
    await writePublicFile(copy, bytes, { mode: 0o600 })
    await change(copy)
    return await readFile(copy)
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** Writes with the mode and owner that `like` has. */
async function replace(path: string, bytes: Buffer, like: string): Promise<void> {
  const { mode, uid, gid } = await stat(like)
  await writePublicFile(path, bytes, { mode: mode & 0o7777, uid, gid })
}

/**
 * Root runs this JDK's keytool and writes beside its keystore: neither may lie where somebody else could put a program
 * or a link in between.
 */
async function rootsAlone(path: string): Promise<void> {
  const at = await changeableBy(path)
  if (at === undefined) return
  throw new CaError(
    'trust-store-unsupported',
    `${at} can be changed by others than root, so its Java's keystore is left to its owner`,
    `As its owner: keytool -importcert -noprompt -cacerts -storepass ${PASSWORD} -alias ${ALIASES[0]} -file CERTIFICATE, with that Java's keytool.`,
  )
}

function failed(jdk: string, why: string, cause?: unknown): CaError {
  return new CaError(
    'trust-store-refresh-failed',
    `the keystore of ${jdk} could not be read or changed: ${why}`,
    `With its own password: ${jdk}/bin/keytool -importcert -cacerts -alias ${ALIASES[0]} -file CERTIFICATE`,
    cause,
  )
}
