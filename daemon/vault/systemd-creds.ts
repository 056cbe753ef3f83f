/**
 * The wrapping key as an encrypted credential of systemd's (systemd-creds(1)): bound to the TPM2 chip where there is
 * one, and to the key of this installation that systemd keeps in /var/lib/systemd/credential.secret. The unit is handed
 * it by systemd itself (LoadCredentialEncrypted=), so the confined daemon needs no access to the chip.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { type Ownership, readKeyFile } from './key-file.ts'
import { WRAPPING_KEY_BYTES } from './keyed-vault.ts'
import { VaultError } from './vault-error.ts'
import { keepWrapped, type WrappingKeyProvider, wrappedDamaged, wrappingFile } from './wrapping-key.ts'

/** Name of the credential; a part of what is authenticated, so that no other can be put in its place. */
export const CREDENTIAL = 'agent-anchor-vault'
const MAX_BYTES = 64 * 1024

/** First 16 bytes of an encrypted credential, as systemd writes them: what it is bound to. */
const BOUND_TO: Readonly<Record<string, string>> = {
  '5a1c6a86df9d4096b1d5a65e0862f19a': 'host key',
  '0c7cc07b117645919c4b0bea08bc20fe': 'TPM2',
  '93a894094874449090caf2fc93cab553': 'TPM2 and host key',
}

export interface Answer {
  /** Undefined where the program could not be started. */
  readonly code: number | null | undefined
  readonly stdout: Buffer
  readonly stderr: string
}

export function systemdCredsProvider(options: {
  readonly keysDirectory: string
  readonly ownership: Ownership
  /** systemd's $CREDENTIALS_DIRECTORY, where this process is a unit's. */
  readonly credentials?: string | undefined
  readonly run?: (args: readonly string[], input: Buffer) => Promise<Answer>
}): WrappingKeyProvider {
  const { keysDirectory, ownership, credentials, run = systemdCreds } = options
  const file = wrappingFile(keysDirectory, 'systemd-creds')

  const called = async (args: readonly string[], input: Buffer): Promise<Buffer> => {
    const { code, stdout, stderr } = await run(args, input)
    if (code === 0) return stdout
    stdout.fill(0)
    throw new VaultError(
      'systemd-creds-failed',
      `systemd-creds ${args[0]} failed: ${stderr.trim().split('\n').at(-1) || `exit ${code}`}`,
      'See that systemd has version 250 or later, /var/lib/systemd is writable and the TPM is that of this machine.',
    )
  }
  const wrapped = () => readKeyFile(file, { ...ownership, maxBytes: MAX_BYTES })

  return {
    name: 'systemd-creds',
    place: file,
    async describe() {
      const text = (await wrapped())?.toString('latin1') ?? ''
      const id = Buffer.from(text.slice(0, 32), 'base64').subarray(0, 16).toString('hex')
      return `systemd-creds (${BOUND_TO[id] ?? 'unknown binding'})`
    },
    async unavailable() {
      const { code } = await run(['--version'], Buffer.alloc(0))
      return code === 0 ? undefined : 'this machine has no systemd-creds'
    },
    async open() {
      if ((await wrapped()) === undefined) return undefined
      const key =
        handed(credentials) ?? (await called(['decrypt', `--name=${CREDENTIAL}`, file, '-'], Buffer.alloc(0)))
      if (key.length === WRAPPING_KEY_BYTES) return key
      throw wrappedDamaged(file)
    },
    async create() {
      const key = randomBytes(WRAPPING_KEY_BYTES)
      const { code } = await run(['has-tpm2', '--quiet'], Buffer.alloc(0))
      const binding = code === 0 ? 'host+tpm2' : 'host'
      const args = ['encrypt', `--with-key=${binding}`, `--name=${CREDENTIAL}`, '-', '-']
      await keepWrapped(file, await called(args, key))
      return key
    },
  }
}

/** What systemd opened for this unit. */
function handed(credentials: string | undefined): Buffer | undefined {
  if (credentials === undefined) return undefined
  try {
    return readFileSync(join(realpathSync(credentials), CREDENTIAL))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new VaultError(
      'file-unreadable',
      `the credential ${CREDENTIAL} can't be read: ${messageOf(error)}`,
      'See LoadCredentialEncrypted= in the unit: systemctl cat agent-anchor.service',
    )
  }
}

function systemdCreds(args: readonly string[], input: Buffer): Promise<Answer> {
  return new Promise((resolve) => {
    const child = spawn('systemd-creds', args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8' },
    })
    const out: Buffer[] = []
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-2000)
    })
    child.on('error', (error) => resolve({ code: undefined, stdout: Buffer.alloc(0), stderr: error.message }))
    child.on('close', (code) => {
      const stdout = Buffer.concat(out)
      for (const chunk of out) chunk.fill(0)
      resolve({ code, stdout, stderr })
    })
    // A program that ends before it has read is told by its exit code.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}
