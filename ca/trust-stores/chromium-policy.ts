/**
 * Chromium, Chrome, Edge and Brave bring roots of their own; what they take from the machine, for all its users and
 * those to come, is an administrator's policy: CACertificates, a list of base64 DER (since Chrome 131).
 * https://chromeenterprise.google/policies/#CACertificates
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { removeFile } from '../../daemon/base/durable/files.ts'
import { CaError } from '../ca-error.ts'
import { writePublicFile } from '../public-file.ts'
import type { StoreOptions } from './anchor-store.ts'
import { authorities, base64Of } from './authorities.ts'
import { exists, readNames, readText } from './files.ts'
import { makeMarkedDirectory, removeMarkedDirectory } from './made-directory.ts'
import type { TrustStore } from './trust-store.ts'

const FILE = 'agent-anchor-gateway.json'
const POLICY = 'CACertificates'

interface Browser {
  readonly directory: string
  /** Any of these says that the browser is there. */
  readonly signs: readonly string[]
}

const BROWSERS: Readonly<Record<string, Browser>> = {
  chromium: { directory: 'etc/chromium', signs: ['usr/bin/chromium', 'etc/chromium'] },
  // Ubuntu's, a snap too.
  'chromium-browser': {
    directory: 'etc/chromium-browser',
    signs: ['usr/bin/chromium-browser', 'snap/bin/chromium', 'etc/chromium-browser'],
  },
  chrome: { directory: 'etc/opt/chrome', signs: ['opt/google/chrome', 'etc/opt/chrome'] },
  edge: { directory: 'etc/opt/edge', signs: ['opt/microsoft/msedge', 'etc/opt/edge'] },
  brave: { directory: 'etc/brave', signs: ['opt/brave.com/brave', 'etc/brave'] },
}

export const CHROMIUM_KIN = Object.keys(BROWSERS)

/** @param browser one of CHROMIUM_KIN */
export function chromiumPolicyStore(
  browser: string,
  { root = '/' }: StoreOptions = {},
): TrustStore & { isThere(): boolean } {
  const { directory, signs } = BROWSERS[browser] as Browser
  const managed = `${directory}/policies/managed`
  const file = join(root, managed, FILE)

  const isThere = () => signs.some((sign) => existsSync(join(root, sign)))

  const check: TrustStore['check'] = async (certificates) => {
    const wanted = render(certificates)
    const text = await readText(file)
    if (text !== undefined) return text === wanted ? 'trusted' : 'stale'
    return isThere() ? 'absent' : 'unsupported'
  }

  return {
    name: `policy:${browser}`,
    where: `/${managed}/${FILE}`,
    system: false,
    isThere,
    check,
    async install(certificates) {
      const state = await check(certificates)
      if (state === 'trusted') return
      if (state === 'unsupported') {
        throw new CaError('trust-store-unsupported', `there is no ${browser} here`, 'Install it first.')
      }
      const taken = await setElsewhere()
      if (taken !== undefined) throw alreadySet(taken, certificates)
      await makeMarkedDirectory(join(root, managed))
      await writePublicFile(file, Buffer.from(render(certificates)), { mode: 0o644 })
    },
    async uninstall() {
      if (await exists(file)) await removeFile(file)
      await removeMarkedDirectory(join(root, managed))
    },
  }

  /** Of two files with the same policy one wins whole: ours must not take the administrator's own roots away. */
  async function setElsewhere(): Promise<string | undefined> {
    for (const name of await readNames(join(root, managed))) {
      const path = join(root, managed, name)
      if (name !== FILE && (await readText(path))?.includes(`"${POLICY}"`)) return path
    }
    return undefined
  }
}

function render(certificates: readonly string[]): string {
  return `${JSON.stringify({ [POLICY]: authorities(certificates).map(base64Of) }, null, 2)}\n`
}

function alreadySet(path: string, certificates: readonly string[]): CaError {
  return new CaError(
    'trust-store-taken',
    `${path} sets ${POLICY} already`,
    `Add to its list: ${authorities(certificates)
      .map((pem) => JSON.stringify(base64Of(pem)))
      .join(', ')}`,
  )
}
