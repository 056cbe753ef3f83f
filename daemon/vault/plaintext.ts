/**
 * Keys in clear where people tend to put them: the environment, the configuration, the directory of keys. Nobody here
 * reads them there, but whoever put them believes that they are in use, and others can read them.
 */
import type { Dirent } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isPlaintextKey, plaintextKey } from './import-key.ts'
import { VaultError } from './vault-error.ts'

/** Ours by their name; no such variable is ever read. */
const OURS = /^(?:AGENT_ANCHOR|ANCHOR_GATEWAY)_.*(?:KEY|SEED|SECRET|MNEMONIC|PASSPHRASE|PASSWORD|PIN)(?:_|$)/i
/** What chain tools take for the key of an account. */
const ACCOUNT = /^(?:ETH_|ETHEREUM_|GATEWAY_|LOG_|DEPLOYER_)?PRIVATE_KEY$/i
/** What this gateway itself keeps beside its sealed files. */
const KNOWN = /^(?:[a-z0-9.-]+\.sealed|log\.vkey|history\.json|being-made|wrapping\.[a-z0-9-]+)$/
/** A field of YAML that somebody would put a key in. */
const NAMED =
  /(?:^|[{,])\s*["']?(?:[a-z]*(?:private|secret|log|gateway|body)[_-]?key|passphrase|password|pin|seed|mnemonic)["']?\s*:\s*[^\s{]/i
const VALUE = /(?:^|[\s"':])(?:0x)?[0-9a-f]{64}(?:$|[\s"',}#])/i
const MAX_FILE_BYTES = 64 * 1024

/** @throws VaultError `plaintext-refused`, which names the variable and never its value */
export function refuseKeysInEnvironment(environment: Readonly<NodeJS.ProcessEnv>): void {
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || value === '') continue
    if (!OURS.test(name) && !(ACCOUNT.test(name) && isPlaintextKey(value))) continue
    throw new VaultError(
      'plaintext-refused',
      `the environment variable ${name} looks like a key or its passphrase in clear, which is refused`,
      'Unset it, and treat what it held as known to others. Keys come in by agent-anchor keys import, a ' +
        'passphrase or PIN by --passphrase-fd, --pin-fd, a systemd credential or at the terminal.',
    )
  }
}

/** @param text of gateway.yaml @throws VaultError `plaintext-refused`, which names the line and never what is in it */
export function refuseKeysInText(file: string, text: string): void {
  for (const [index, line] of text.split('\n').entries()) {
    if (!NAMED.test(line.replace(/#.*/, '')) && !VALUE.test(line) && !/PRIVATE KEY-----/.test(line)) continue
    throw new VaultError(
      'plaintext-refused',
      `line ${index + 1} of ${file} looks like a key or passphrase in clear, which is refused`,
      'Remove it, and treat it as known to others. Keys come in by agent-anchor keys import.',
    )
  }
}

/** @throws VaultError `plaintext-refused`, which names the file */
export async function refuseKeysInDirectory(dir: string): Promise<void> {
  const entries: Dirent[] = await readdir(dir, { withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    },
  )
  for (const entry of entries) {
    if (!entry.isFile() || KNOWN.test(entry.name)) continue
    const path = join(dir, entry.name)
    const bytes = await readFile(path)
    const raw = bytes.length === 32 || bytes.length === 48 || bytes.length === 64
    const text = bytes.subarray(0, MAX_FILE_BYTES).toString('latin1')
    bytes.fill(0)
    if (raw || isPlaintextKey(text)) throw plaintextKey(undefined, path)
  }
}
