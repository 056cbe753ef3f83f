/**
 * Where a passphrase or PIN comes from: a file descriptor that was named, a systemd credential, or a terminal. Never
 * an environment variable, an argument or a file with a name: those are read by others, backed up, and forgotten.
 */
import { closeSync, fstatSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { readKeyFile } from './key-file.ts'
import { promptSecret } from './prompt-secret.ts'
import { VaultError } from './vault-error.ts'

const MAX_BYTES = 1024

export type SecretName = 'passphrase' | 'pin'

export interface SecretSource {
  /**
   * The secret, the caller's to wipe.
   * @param fresh it is being chosen: at a terminal it is asked for twice
   * @throws VaultError `secret-needed`, `plaintext-refused`
   */
  ask(name: SecretName, of: string, fresh?: boolean): Promise<Buffer>
}

/**
 * @param fds descriptors by name: each is read to its end once, and closed
 * @param credentials systemd's $CREDENTIALS_DIRECTORY (systemd.exec(5)), where there is one
 */
export function secretSource(options: {
  readonly fds?: Readonly<Partial<Record<SecretName, number>>>
  readonly credentials?: string | undefined
  readonly prompt?: (question: string) => Promise<Buffer | undefined>
}): SecretSource {
  const { fds = {}, credentials, prompt = promptSecret } = options
  return {
    async ask(name, of, fresh = false) {
      const fd = fds[name]
      if (fd !== undefined) return readDescriptor(fd, name)
      if (credentials !== undefined) {
        const file = join(credentials, `agent-anchor-${name}`)
        const found = await readKeyFile(file, { owner: 0, maxBytes: MAX_BYTES })
        if (found !== undefined) return withoutNewline(found)
      }
      const typed = await prompt(`${name} of ${of}: `)
      if (typed === undefined || typed.length === 0) throw needed(name, of)
      if (!fresh) return typed
      const again = await prompt(`${name} of ${of}, again: `)
      const same = again?.equals(typed) === true
      again?.fill(0)
      if (same) return typed
      typed.fill(0)
      throw new VaultError(
        'secret-needed',
        `the two ${name}s typed are not the same`,
        'Run the command again.',
      )
    },
  }
}

function readDescriptor(fd: number, name: SecretName): Buffer {
  const bytes = Buffer.allocUnsafeSlow(MAX_BYTES + 1)
  let length = 0
  try {
    const status = fstatSync(fd)
    // What has a name stays readable to whoever finds it. A here-document's file has none.
    if (status.isFile() && status.nlink > 0) {
      throw new VaultError(
        'plaintext-refused',
        `file descriptor ${fd} is a file with the ${name} in clear`,
        `Pipe the ${name} from where it is kept, such as a password manager, and remove the file.`,
      )
    }
    for (let read = -1; read !== 0 && length <= MAX_BYTES; length += read) {
      read = readSync(fd, bytes, length, bytes.length - length, null)
    }
  } catch (error) {
    if (error instanceof VaultError) throw error
    throw new VaultError(
      'secret-needed',
      `no ${name} could be read from file descriptor ${fd}`,
      `Open it for the command, such as: ${name === 'pin' ? '--pin-fd' : '--passphrase-fd'} 3 3< <(COMMAND)`,
    )
  }
  if (fd > 2) closeSync(fd)
  const secret = withoutNewline(bytes.subarray(0, length))
  if (secret.length > 0 && length <= MAX_BYTES) return secret
  throw new VaultError(
    'secret-needed',
    `file descriptor ${fd} gave ${length === 0 ? 'nothing' : 'no'} ${name} of 1 to ${MAX_BYTES} bytes`,
    `Write the ${name} to it, and close it.`,
  )
}

/** A copy in memory of its own, since the original is wiped. */
function withoutNewline(bytes: Buffer): Buffer {
  const end = bytes.at(-1) === 0x0a ? bytes.length - 1 : bytes.length
  const secret = Buffer.allocUnsafeSlow(end)
  bytes.copy(secret, 0, 0, end)
  bytes.fill(0)
  return secret
}

function needed(name: SecretName, of: string): VaultError {
  return new VaultError(
    'secret-needed',
    `the ${name} of ${of} is needed, and there is no terminal to ask at`,
    `Give it by --${name}-fd N, or as the systemd credential agent-anchor-${name} ` +
      '(LoadCredentialEncrypted=). For unattended starts choose another provider: agent-anchor keys rewrap --to …',
  )
}
