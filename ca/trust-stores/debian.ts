/**
 * The store of Debian and Ubuntu: anchors in /usr/local/share/ca-certificates, from which
 * update-ca-certificates(8) makes /etc/ssl/certs. curl, git, wget, OpenSSL, GnuTLS, Go, Python, Ruby, PHP
 * and the distribution's Java (by a hook) read it.
 */
import { X509Certificate } from 'node:crypto'
import { constants } from 'node:fs'
import { access, lstat, readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeDirectory, removeFile } from '../../daemon/base/durable.ts'
import { messageOf } from '../../daemon/base/errors.ts'
import { AUTHORITY_NAME } from '../authority-name.ts'
import { CaError } from '../ca-error.ts'
import { writePublicFile } from '../public-file.ts'
import { certificateBlocks } from '../system-roots.ts'
import { type RunCommand, runCommand } from './run-command.ts'
import type { TrustState, TrustStore } from './trust-store.ts'

const ANCHOR = 'usr/local/share/ca-certificates/agent-anchor-gateway.crt'
/** update-ca-certificates links each anchor here as NAME.pem. */
const LINK = 'etc/ssl/certs/agent-anchor-gateway.pem'
const BUNDLE = 'etc/ssl/certs/ca-certificates.crt'
const CONFIGURATION = 'etc/ca-certificates.conf'
/** SUSE and Alpine have other tools of the same name, with other options and other links. */
const REQUIRED = [CONFIGURATION, 'etc/debian_version']
const HOOKS = 'etc/ca-certificates/update.d'
/** run-parts(8) runs files of such names only. */
const HOOK_NAME = /^[A-Za-z0-9_-]+$/

export interface DebianTrustStoreOptions {
  /** Prefix of all paths; the tool is then told to work below it. */
  readonly root?: string
  readonly run?: RunCommand
}

/** The certificate of the gateway's own authority is the only anchor that this store touches. */
export function debianTrustStore(options: DebianTrustStoreOptions = {}): TrustStore {
  const root = options.root ?? '/'
  const run = options.run ?? runCommand
  const anchor = join(root, ANCHOR)
  const link = join(root, LINK)

  async function check(certificatePem: string): Promise<TrustState> {
    for (const path of REQUIRED) if (!(await exists(join(root, path)))) return 'unsupported'
    const ours = parse(certificatePem)
    const anchored = await readText(anchor)
    const linked = await exists(link)
    const bundled = await inBundle(ours)
    if (anchored === undefined) return linked || bundled ? 'stale' : 'absent'
    return sameCertificate(anchored, ours) && linked && bundled ? 'trusted' : 'stale'
  }

  async function install(certificatePem: string): Promise<void> {
    const ours = parse(certificatePem)
    const before = await check(certificatePem)
    if (before === 'trusted') return
    if (before === 'unsupported') throw unsupported()
    const previous = await readText(anchor)
    await makeDirectory(dirname(anchor), { mode: 0o755 })
    await writePublicFile(anchor, Buffer.from(ours.toString()), { mode: 0o644 })
    try {
      // Over an older anchor the link stands already, and only --fresh makes the tool hash it again.
      await refresh(before === 'stale')
      if ((await check(certificatePem)) !== 'trusted') {
        throw refreshFailed(`${BUNDLE} does not hold the certificate afterwards`)
      }
    } catch (error) {
      await restore(previous).catch(() => {})
      throw error
    }
  }

  async function uninstall(): Promise<void> {
    const anchored = await exists(anchor)
    const linked = await exists(link)
    if (!anchored && !linked && !(await bundleHoldsAnyOfOurs())) return
    await removeFile(anchor)
    // Before the tool runs: after a crash the link is still there and says that this isn't done.
    const failed = await tellHooks()
    // Without --fresh the tool leaves dead links behind.
    await refresh(true)
    if (failed !== undefined) throw failed
  }

  /** A failed install leaves what was there before; what went wrong first is what the caller hears. */
  async function restore(previous: string | undefined): Promise<void> {
    if (previous === undefined) await removeFile(anchor)
    else await writePublicFile(anchor, Buffer.from(previous, 'latin1'), { mode: 0o644 })
    await refresh(true)
  }

  async function refresh(fresh: boolean): Promise<void> {
    try {
      await run('update-ca-certificates', [...(fresh ? ['--fresh'] : []), ...belowRoot(root)])
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
        throw new CaError(
          'trust-store-tool-missing',
          'update-ca-certificates was not found',
          'Install the package ca-certificates (apt-get install ca-certificates) and run this again.',
          cause,
        )
      }
      throw refreshFailed(messageOf(cause), cause)
    }
  }

  /**
   * With --fresh the tool tells its hooks what it added anew but not what went, so that Java's keystore
   * would trust us for ever: we send the line that it omits, in its own form. A hook that fails doesn't
   * keep the system's own store from being cleaned: its error comes back.
   */
  async function tellHooks(): Promise<CaError | undefined> {
    const directory = join(root, HOOKS)
    let failed: CaError | undefined
    for (const name of (await readNames(directory)).filter((each) => HOOK_NAME.test(each)).sort()) {
      const hook = join(directory, name)
      if (!(await executable(hook))) continue
      await run(hook, [], `-${link}\n`).catch((cause: unknown) => {
        failed ??= hookFailed(hook, cause)
      })
    }
    return failed
  }

  async function inBundle(ours: X509Certificate): Promise<boolean> {
    const bundle = await readText(join(root, BUNDLE))
    if (bundle === undefined) return false
    const wanted = base64Of(ours.toString())
    for (const block of certificateBlocks(bundle)) if (base64Of(block) === wanted) return true
    return false
  }

  async function bundleHoldsAnyOfOurs(): Promise<boolean> {
    const bundle = (await readText(join(root, BUNDLE))) ?? ''
    return [...certificateBlocks(bundle)].some(isAuthorityOfGateway)
  }

  return { name: 'debian', check, install, uninstall }
}

function belowRoot(root: string): string[] {
  if (root === '/') return []
  return [
    ['--certsconf', CONFIGURATION],
    ['--certsdir', 'usr/share/ca-certificates'],
    ['--localcertsdir', 'usr/local/share/ca-certificates'],
    ['--etccertsdir', 'etc/ssl/certs'],
    ['--hooksdir', HOOKS],
  ].flatMap(([option, path]) => [option!, join(root, path!)])
}

function parse(certificatePem: string): X509Certificate {
  try {
    const certificate = new X509Certificate(certificatePem)
    if (certificate.ca) return certificate
  } catch (cause) {
    throw unsuitable('does not parse', cause)
  }
  throw unsuitable('is not an authority')
}

function isAuthorityOfGateway(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject.includes(AUTHORITY_NAME)
  } catch {
    return false
  }
}

function sameCertificate(pem: string, ours: X509Certificate): boolean {
  return base64Of(pem) === base64Of(ours.toString())
}

function base64Of(pem: string): string {
  return pem.replace(/-----(?:BEGIN|END) CERTIFICATE-----|\s/g, '')
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw refreshFailed(`${path} cannot be read: ${messageOf(error)}`, error)
  }
}

async function readNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isMissing(error)) return []
    throw refreshFailed(`${directory} cannot be read: ${messageOf(error)}`, error)
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}

async function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function unsuitable(what: string, cause?: unknown): CaError {
  return new CaError(
    'certificate-unsuitable',
    `the certificate to trust ${what}`,
    'Restore ca/ca.crt from a backup or install again to make a new authority.',
    cause,
  )
}

function unsupported(): CaError {
  return new CaError(
    'trust-store-unsupported',
    `this machine has no trust store of Debian's kind (it needs ${REQUIRED.map((path) => `/${path}`).join(', ')})`,
    'On Debian or Ubuntu install the package ca-certificates; elsewhere add ca/ca.crt to the trust store by hand.',
  )
}

function hookFailed(hook: string, cause: unknown): CaError {
  return new CaError(
    'trust-store-hook-failed',
    `the system no longer trusts the gateway, but the hook ${hook} failed: ${messageOf(cause)}`,
    'Remove it from Java by hand: keytool -delete -cacerts -alias debian:agent-anchor-gateway.pem',
    cause,
  )
}

function refreshFailed(what: string, cause?: unknown): CaError {
  return new CaError(
    'trust-store-refresh-failed',
    `the system's trust store could not be brought up to date: ${what}`,
    'Run update-ca-certificates --fresh as root, mend what it reports, and run this again.',
    cause,
  )
}
