/**
 * Checks what the supervisor keeps: keys, CA, the fence for the next boot, evidence that isn't in the
 * log yet, the address book. Reads only.
 */
import { readFile, stat } from 'node:fs/promises'
import { dirname, relative } from 'node:path'
import { messageOf } from '../base/errors.ts'
import type { Damage } from '../ledger/damage.ts'
import { formatVerifierKey } from '../ledger/note.ts'
import { checkKeys } from '../vault/keys.ts'
import type { Vault } from '../vault/vault.ts'
import { readStored } from './address-book.ts'
import { checkAuthority } from './authority/check.ts'
import { evidenceFault } from './evidence-damage.ts'
import { egressScriptBeside, isFenceScript } from './fence-script.ts'
import type { Layout } from './layout.ts'

/**
 * @param vault undefined where it can't be opened: sealed files then go unchecked
 * @returns `file` of each Damage is relative to the state directory
 */
export async function* checkState(paths: Layout, vault: Vault | undefined): AsyncGenerator<Damage> {
  const named = (path: string, what: string): Damage => ({
    file: relative(dirname(paths.keysDirectory), path),
    what,
  })
  if (vault !== undefined) {
    const { faults, logPublicKey } = await checkKeys(vault, paths.keysDirectory)
    for (const { path, what } of faults) yield named(path, what)
    const wrong = logPublicKey && (await verifierKeyFault(paths.verifierKey, logPublicKey))
    if (wrong !== undefined) yield named(paths.verifierKey, wrong)
  }
  for (const { path, what } of await checkAuthority(paths, vault)) yield named(path, what)
  // Fence and evidence come before the recorder.
  const recorded = await isPresent(paths.ledger)
  const evidence = evidenceFault(paths.evidence, recorded)
  if (evidence !== undefined) {
    const { offset, what } = evidence
    yield { ...named(paths.evidence, `${what}; the next start tells what can be read of it`), offset }
  }
  const fence = await readIfPresent(paths.fenceScript)
  if (fence === undefined && recorded) yield named(paths.fenceScript, 'it is missing')
  if (fence !== undefined && !isFenceScript(fence)) {
    yield named(paths.fenceScript, 'it is not what was written; it is made anew when the daemon starts')
  }
  const egressScript = egressScriptBeside(paths.fenceScript)
  const egress = await readIfPresent(egressScript)
  if (fence !== undefined && egress === undefined) {
    yield named(egressScript, 'it is missing; it is made anew when the daemon starts')
  }
  if (egress !== undefined && !isFenceScript(egress)) {
    yield named(egressScript, 'it is not what was written; it is made anew when the daemon starts')
  }
  if (!(await isPresent(paths.addresses))) return
  try {
    await readStored(paths.addresses)
  } catch (error) {
    yield named(paths.addresses, `${messageOf(error)}; it is made anew when the daemon starts`)
  }
}

/** One key and one origin have one spelling. */
async function verifierKeyFault(path: string, publicKey: Buffer): Promise<string | undefined> {
  const bytes = await readIfPresent(path)
  if (bytes === undefined) return 'it is missing'
  const origin = bytes.toString('utf8').split('+')[0] ?? ''
  try {
    if (bytes.equals(Buffer.from(`${formatVerifierKey(origin, publicKey)}\n`))) return undefined
  } catch {
    // No origin at all.
  }
  return 'it is not the verifier key of log.sealed'
}

async function readIfPresent(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}

const isPresent = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
