/** Where a command gets the vault's passphrase or PIN from, if it needs one. */
import { type SecretSource, secretSource } from '../daemon/vault/secret-source.ts'
import { WrongDescriptor } from './cli-error.ts'
import type { GlobalOptions } from './command.ts'

/** @throws CliError WRONG_DESCRIPTOR */
export function secretsOf(options: Pick<GlobalOptions, 'passphraseFd' | 'pinFd'>): SecretSource {
  const passphrase = descriptor('--passphrase-fd', options.passphraseFd)
  const pin = descriptor('--pin-fd', options.pinFd)
  const fds = { ...(passphrase === undefined ? {} : { passphrase }), ...(pin === undefined ? {} : { pin }) }
  return secretSource({ fds, credentials: process.env.CREDENTIALS_DIRECTORY })
}

export function descriptor(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^(0|[3-9]|[1-9][0-9]{1,3})$/.test(text)) return Number(text)
  throw new WrongDescriptor(option)
}
