/**
 * The store of Debian and Ubuntu: anchors in /usr/local/share/ca-certificates, from which
 * update-ca-certificates(8) makes /etc/ssl/certs. curl, git, wget, OpenSSL, GnuTLS, Go, Python, Ruby, PHP
 * and the distribution's Java (by a hook) read it.
 */
import { join } from 'node:path'
import { messageOf } from '../../daemon/base/errors.ts'
import { CaError } from '../ca-error.ts'
import { type AnchorStore, anchorStore, type StoreOptions } from './anchor-store.ts'
import { executable, readNames } from './files.ts'
import type { RunCommand } from './run-command.ts'
import type { TrustStore } from './trust-store.ts'

const CONFIGURATION = 'etc/ca-certificates.conf'
const ANCHORS = 'usr/local/share/ca-certificates'
const HOOKS = 'etc/ca-certificates/update.d'
/** run-parts(8) runs files of such names only. */
const HOOK_NAME = /^[A-Za-z0-9_-]+$/

const debian: AnchorStore = {
  name: 'debian',
  // SUSE and Alpine have other tools of the same name, with other options and other links.
  required: ['etc/debian_version', CONFIGURATION, ANCHORS],
  anchors: ANCHORS,
  extension: 'crt',
  bundle: 'etc/ssl/certs/ca-certificates.crt',
  link: (name) => `etc/ssl/certs/${name}.pem`,
  tool: 'update-ca-certificates',
  // Over an older anchor the link stands already, and only --fresh makes the tool hash it again. Without it, too, the
  // tool leaves dead links behind.
  args: (over, root) => [...(over ? ['--fresh'] : []), ...belowRoot(root)],
  beforeDrop: tellHooks,
  getTool: 'apt-get install ca-certificates',
}

export const debianTrustStore = (options?: StoreOptions): TrustStore => anchorStore(debian, options)

/**
 * With --fresh the tool tells its hooks what it added anew but not what went, so that Java's keystore
 * would trust us for ever: we send the lines that it omits, in its own form.
 */
async function tellHooks(
  links: readonly string[],
  root: string,
  run: RunCommand,
): Promise<CaError | undefined> {
  const directory = join(root, HOOKS)
  const input = links.map((link) => `-${link}\n`).join('')
  let failed: CaError | undefined
  for (const name of (await readNames(directory)).filter((each) => HOOK_NAME.test(each))) {
    const hook = join(directory, name)
    if (!(await executable(hook))) continue
    await run(hook, [], { input }).catch((cause: unknown) => {
      failed ??= hookFailed(hook, cause)
    })
  }
  return failed
}

function belowRoot(root: string): string[] {
  if (root === '/') return []
  return [
    ['--certsconf', CONFIGURATION],
    ['--certsdir', 'usr/share/ca-certificates'],
    ['--localcertsdir', ANCHORS],
    ['--etccertsdir', 'etc/ssl/certs'],
    ['--hooksdir', HOOKS],
  ].flatMap(([option, path]) => [option!, join(root, path!)])
}

function hookFailed(hook: string, cause: unknown): CaError {
  return new CaError(
    'trust-store-hook-failed',
    `the system no longer trusts the gateway, but the hook ${hook} failed: ${messageOf(cause)}`,
    'Remove it from Java by hand: keytool -delete -cacerts -alias debian:agent-anchor-gateway.pem (and …-gateway-2.pem, if it is there)',
    cause,
  )
}
