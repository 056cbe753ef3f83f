/**
 * A token behind a PKCS#11 module (OASIS PKCS#11 v2.40), for as long as one call takes: a smart card that is pulled or
 * an HSM that is restarted in the meantime is met at the next one.
 */
import { stat } from 'node:fs/promises'
import type pkcs11js from 'pkcs11js'
import { messageOf } from '../base/errors.ts'
import type { SecretSource } from './secret-source.ts'
import { VaultError } from './vault-error.ts'

/** The package as it is loaded. */
export type Library = typeof pkcs11js
export interface Session {
  readonly library: Library
  readonly module: pkcs11js.PKCS11
  readonly slot: Buffer
  readonly handle: Buffer
}

export interface TokenPlace {
  /** Path of the module, such as /usr/lib/softhsm/libsofthsm2.so. */
  readonly module: string
  /** Label of the token. */
  readonly token: string
}

/** The package `pkcs11js`, which is built at install. @throws VaultError `provider-unavailable` */
export async function loadLibrary(): Promise<Library> {
  try {
    return (await import('pkcs11js')).default
  } catch (error) {
    throw new VaultError(
      'provider-unavailable',
      `the package pkcs11js is not built here: ${messageOf(error).split('\n')[0]}`,
      'Run the installer again with g++, make and python3 on this machine.',
    )
  }
}

/**
 * Logs in, calls, logs out.
 * @param options `writable` for making a key: a service that is confined can't write where a token in software lies
 * @throws VaultError `pkcs11-module`, `pkcs11-token-missing`, `pkcs11-pin-wrong`, `pkcs11-pin-locked`, `pkcs11-failed`,
 *   what the secret's source throws, and what `use` throws
 */
export async function withToken<T>(
  place: TokenPlace,
  secrets: SecretSource,
  use: (session: Session) => T,
  { writable = false } = {},
): Promise<T> {
  const library = await loadLibrary()
  const module = new library.PKCS11()
  await loadModule(module, place.module)
  try {
    const slot = findSlot(module, place)
    const pin = await secrets.ask('pin', `the token ${place.token}`)
    const flags = library.CKF_SERIAL_SESSION | (writable ? library.CKF_RW_SESSION : 0)
    const handle = module.C_OpenSession(slot, flags)
    try {
      // The package takes a string alone, so this copy can't be wiped.
      module.C_Login(handle, library.CKU_USER, pin.toString('utf8'))
    } finally {
      pin.fill(0)
    }
    return use({ library, module, slot, handle })
  } catch (error) {
    throw error instanceof VaultError ? error : tokenError(library, place, error)
  } finally {
    close(module)
  }
}

async function loadModule(module: pkcs11js.PKCS11, path: string): Promise<void> {
  try {
    // What dlopen(3) says of a missing file is about everything but that.
    await stat(path)
    module.load(path)
    module.C_Initialize()
  } catch (error) {
    close(module)
    throw new VaultError(
      'pkcs11-module',
      `the PKCS#11 module ${path} can't be loaded: ${messageOf(error).split('\n')[0]}`,
      'Set vault.pkcs11.module to the path of the module of your token, for this machine and its architecture.',
    )
  }
}

function findSlot(module: pkcs11js.PKCS11, { module: path, token }: TokenPlace): Buffer {
  const slots = module.C_GetSlotList(true)
  const labels = slots.map((slot) => module.C_GetTokenInfo(slot).label.trim())
  const found = slots[labels.indexOf(token)]
  if (found !== undefined) return found
  throw new VaultError(
    'pkcs11-token-missing',
    `the module ${path} sees no token ${JSON.stringify(token)}`,
    `Connect it, or set vault.pkcs11.token to one of: ${labels.filter((label) => label !== '').join(', ') || '(none)'}`,
  )
}

/** What the token answered, as an error with a remedy. Numbers and names are PKCS#11's. */
function tokenError(library: Library, { token }: TokenPlace, error: unknown): VaultError {
  const code = (error as { code?: unknown }).code
  const named = messageOf(error).split('\n')[0]
  if (code === library.CKR_PIN_INCORRECT || code === library.CKR_PIN_LEN_RANGE) {
    return new VaultError(
      'pkcs11-pin-wrong',
      `the PIN of the token ${token} is wrong`,
      'Try again with the right one: after a few wrong PINs most tokens lock themselves.',
    )
  }
  if (code === library.CKR_PIN_LOCKED) {
    return new VaultError(
      'pkcs11-pin-locked',
      `the token ${token} is locked after too many wrong PINs`,
      "Unlock it with its security officer's PIN and the tool that came with it.",
    )
  }
  const gone = [
    library.CKR_DEVICE_REMOVED,
    library.CKR_TOKEN_NOT_PRESENT,
    library.CKR_TOKEN_NOT_RECOGNIZED,
    library.CKR_SLOT_ID_INVALID,
    library.CKR_DEVICE_ERROR,
  ]
  if (gone.some((each) => each === code)) {
    return new VaultError(
      'pkcs11-token-missing',
      `the token ${token} is gone (${named})`,
      'Connect it again and run the command again. A gateway that runs is not affected.',
    )
  }
  return new VaultError(
    'pkcs11-failed',
    `the token ${token} refused: ${named}`,
    'Look that name up in the PKCS#11 specification and in the log of the token.',
  )
}

/** Ends sessions and logins too. */
function close(module: pkcs11js.PKCS11): void {
  for (const end of [() => module.C_Finalize(), () => module.close()]) {
    try {
      end()
    } catch {
      // It was not opened so far, or the token is gone: there is nothing left to close.
    }
  }
}
