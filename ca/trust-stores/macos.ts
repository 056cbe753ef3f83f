/**
 * The System keychain of macOS, by security(1): the certificate lies in the keychain, and the administrator's trust
 * settings say that it is a root. Safari, Chrome, curl and Go read both.
 */
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../daemon/base/errors.ts'
import { AUTHORITY_NAME } from '../authority-name.ts'
import { CaError } from '../ca-error.ts'
import { certificateBlocks } from '../system-roots.ts'
import type { StoreOptions } from './anchor-store.ts'
import { authorities, base64Of, oursIn } from './authorities.ts'
import { exists } from './files.ts'
import { runCommand } from './run-command.ts'
import type { TrustStore } from './trust-store.ts'

const KEYCHAIN = '/Library/Keychains/System.keychain'
const SECURITY = '/usr/bin/security'
/** What security(1) says where there is nothing of the kind, with a status other than 0. */
const NOTHING = /could not be found|No Trust Settings were found/

export function macosTrustStore({ root = '/', run = runCommand }: StoreOptions = {}): TrustStore {
  async function security(...args: string[]): Promise<string> {
    try {
      return await run(SECURITY, args)
    } catch (cause) {
      if (NOTHING.test(messageOf(cause))) return ''
      throw new CaError(
        'trust-store-refresh-failed',
        `the keychain could not be changed: ${messageOf(cause)}`,
        `Run security ${args[0]} by hand as root, mend what it reports, and run this again.`,
        cause,
      )
    }
  }

  /** Ours in the keychain, trusted or not. */
  async function kept(): Promise<string[]> {
    const found = await security('find-certificate', '-a', '-c', AUTHORITY_NAME, '-p', KEYCHAIN)
    return [...certificateBlocks(found)].filter((pem) => oursIn(pem).size > 0)
  }

  const check: TrustStore['check'] = async (certificates) => {
    if (!(await exists(join(root, KEYCHAIN)))) return 'unsupported'
    const wanted = authorities(certificates)
    const inKeychain = await kept()
    // Lines such as "Cert 0: Agent Anchor Gateway CA 0a1b2c3d".
    const settings = await security('dump-trust-settings', '-d')
    const trusted = new Set(settings.match(new RegExp(`(?<=^Cert \\d+: )${AUTHORITY_NAME}.*$`, 'gm')))
    if (inKeychain.length === 0 && trusted.size === 0) return 'absent'
    const there = new Set(inKeychain.map(base64Of))
    const complete = wanted.every((pem) => there.has(base64Of(pem)) && trusted.has(commonName(pem)))
    return complete && there.size === wanted.length && trusted.size === wanted.length ? 'trusted' : 'stale'
  }

  async function remove(pem: string): Promise<void> {
    await inFile(pem, (file) => security('remove-trusted-cert', '-d', file))
    const sha1 = new X509Certificate(pem).fingerprint.replaceAll(':', '')
    await security('delete-certificate', '-Z', sha1, KEYCHAIN)
  }

  return {
    name: 'macos',
    where: KEYCHAIN,
    system: true,
    check,
    async install(certificates) {
      const wanted = authorities(certificates)
      const before = await check(certificates)
      if (before === 'trusted') return
      if (before === 'unsupported') {
        throw new CaError('trust-store-unsupported', `${KEYCHAIN} is missing`, 'Install on macOS.')
      }
      const stays = new Set(wanted.map(base64Of))
      for (const pem of await kept()) if (!stays.has(base64Of(pem))) await remove(pem)
      for (const pem of wanted) {
        await inFile(pem, (file) =>
          security('add-trusted-cert', '-d', '-r', 'trustRoot', '-k', KEYCHAIN, file),
        )
      }
      if ((await check(certificates)) === 'trusted') return
      throw new CaError(
        'trust-store-refresh-failed',
        'the keychain took the certificate but does not trust it',
        `Open ${KEYCHAIN} in Keychain Access, set "${AUTHORITY_NAME} …" to Always Trust, and run this again.`,
      )
    },
    async uninstall() {
      for (const pem of await kept()) await remove(pem)
    },
  }
}

async function inFile(pem: string, use: (file: string) => Promise<unknown>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'agent-anchor-'))
  try {
    const file = join(directory, 'certificate.pem')
    await writeFile(file, pem, { mode: 0o600 })
    await use(file)
  } finally {
    await rm(directory, { recursive: true })
  }
}

function commonName(pem: string): string {
  return /^CN=(.*)$/m.exec(new X509Certificate(pem).subject)?.[1] ?? ''
}
