/**
 * The store of Debian and Ubuntu: anchors in /usr/local/share/ca-certificates, from which
 * update-ca-certificates(8) makes /etc/ssl/certs. curl, git, wget, OpenSSL, GnuTLS, Go, Python, Ruby, PHP
 * and the distribution's Java (by a hook) read it.
 */
import { constants } from 'node:fs'
import { access, lstat, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory, removeFile } from '../../daemon/base/durable.ts'
import { messageOf } from '../../daemon/base/errors.ts'
import { CaError } from '../ca-error.ts'
import { writePublicFile } from '../public-file.ts'
import { authorities, base64Of, oursIn } from './authorities.ts'
import { type RunCommand, runCommand } from './run-command.ts'
import type { TrustState, TrustStore } from './trust-store.ts'

const ANCHORS = 'usr/local/share/ca-certificates'
/** One certificate a file, for the tool hashes only the first of a file; of two, the successor has the second. */
const NAMES = ['agent-anchor-gateway', 'agent-anchor-gateway-2']
/** update-ca-certificates links each anchor here as NAME.pem. */
const LINKS = 'etc/ssl/certs'
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

/** The certificates of the gateway's own authority are the only anchors that this store touches. */
export function debianTrustStore(options: DebianTrustStoreOptions = {}): TrustStore {
  const root = options.root ?? '/'
  const run = options.run ?? runCommand
  const anchors = NAMES.map((name) => join(root, ANCHORS, `${name}.crt`))
  const links = NAMES.map((name) => join(root, LINKS, `${name}.pem`))

  async function check(certificates: readonly string[]): Promise<TrustState> {
    for (const path of REQUIRED) if (!(await exists(join(root, path)))) return 'unsupported'
    const wanted = authorities(certificates)
    const anchored = await Promise.all(anchors.map(readText))
    const linked = await Promise.all(links.map(exists))
    const bundled = oursIn((await readText(join(root, BUNDLE))) ?? '')
    if (anchored.every((text) => text === undefined)) {
      return linked.includes(true) || bundled.size > 0 ? 'stale' : 'absent'
    }
    const whole = NAMES.every((_, i) => linked[i] === i < wanted.length && isSame(anchored[i], wanted[i]))
    const complete = wanted.every((pem) => bundled.has(base64Of(pem)))
    return whole && complete && bundled.size === wanted.length ? 'trusted' : 'stale'
  }

  async function install(certificates: readonly string[]): Promise<void> {
    const wanted = authorities(certificates)
    const before = await check(certificates)
    if (before === 'trusted') return
    if (before === 'unsupported') throw unsupported()
    const previous = await Promise.all(anchors.map(readText))
    const dropped = await gone(wanted)
    await makeDirectory(join(root, ANCHORS), { mode: 0o755 })
    await write(wanted)
    let failed: CaError | undefined
    try {
      failed = await tellHooks(dropped)
      // Over an older anchor the link stands already, and only --fresh makes the tool hash it again.
      await refresh(before === 'stale')
      if ((await check(certificates)) !== 'trusted') {
        throw refreshFailed(`${BUNDLE} does not hold the certificate afterwards`)
      }
    } catch (error) {
      await restore(previous).catch(() => {})
      throw error
    }
    if (failed !== undefined) throw failed
  }

  async function uninstall(): Promise<void> {
    const dropped = await gone([])
    if (dropped.length === 0 && oursIn((await readText(join(root, BUNDLE))) ?? '').size === 0) return
    await write([])
    // Before the tool runs: after a crash the link is still there and says that this isn't done.
    const failed = await tellHooks(dropped.length === 0 ? links.slice(0, 1) : dropped)
    // Without --fresh the tool leaves dead links behind.
    await refresh(true)
    if (failed !== undefined) throw failed
  }

  /** The links of what is there and isn't wanted any more. */
  async function gone(wanted: readonly string[]): Promise<string[]> {
    const there = await Promise.all(
      NAMES.map(async (_, i) => (await exists(anchors[i]!)) || (await exists(links[i]!))),
    )
    return links.filter((_, i) => there[i] && i >= wanted.length)
  }

  async function write(wanted: readonly (string | undefined)[]): Promise<void> {
    for (const [i, anchor] of anchors.entries()) {
      const pem = wanted[i]
      if (pem === undefined) await removeFile(anchor)
      else await writePublicFile(anchor, Buffer.from(pem, 'latin1'), { mode: 0o644 })
    }
  }

  /** A failed install leaves what was there before; what went wrong first is what the caller hears. */
  async function restore(previous: readonly (string | undefined)[]): Promise<void> {
    await write(previous)
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
   * would trust us for ever: we send the lines that it omits, in its own form. A hook that fails doesn't
   * keep the system's own store from being cleaned: its error comes back.
   */
  async function tellHooks(dropped: readonly string[]): Promise<CaError | undefined> {
    if (dropped.length === 0) return undefined
    const directory = join(root, HOOKS)
    let failed: CaError | undefined
    for (const name of (await readNames(directory)).filter((each) => HOOK_NAME.test(each)).sort()) {
      const hook = join(directory, name)
      if (!(await executable(hook))) continue
      await run(hook, [], dropped.map((link) => `-${link}\n`).join('')).catch((cause: unknown) => {
        failed ??= hookFailed(hook, cause)
      })
    }
    return failed
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

function isSame(pem: string | undefined, other: string | undefined): boolean {
  return pem === undefined || other === undefined ? pem === other : base64Of(pem) === base64Of(other)
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
    'Remove it from Java by hand: keytool -delete -cacerts -alias debian:agent-anchor-gateway.pem (and …-gateway-2.pem, if it is there)',
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
