/** What tests of trust stores share: authorities, a machine's tree, and what lies in it. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority } from '../../ca/authority.ts'

const now = new Date()
const [first, second] = await Promise.all(
  ['a.example', 'b.example'].map((domain) => createAuthority({ permittedDomains: [domain], now })),
)
export const OURS = first!.certificatePem
export const SUCCESSOR = second!.certificatePem

/** In the form of a root, though it doesn't parse: stores only pass it on. */
export const SYSTEM_ROOT = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

/** Every path below a directory with its mode and content. */
export function treeOf(root: string): Record<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()
  return Object.fromEntries(
    names.map((name) => {
      const path = join(root, name)
      const status = lstatSync(path)
      if (status.isSymbolicLink()) return [name, `-> ${readlinkSync(path)}`]
      return [name, `${status.mode.toString(8)} ${status.isFile() ? readFileSync(path, 'latin1') : ''}`]
    }),
  )
}
