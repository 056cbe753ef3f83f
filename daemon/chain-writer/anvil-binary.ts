/** Where the package @foundry-rs/anvil keeps its program. */
import { accessSync, constants } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, platform } from 'node:process'
import { ChainError } from './chain-error.ts'

// Names of the packages that @foundry-rs/anvil depends on optionally, one for each platform.
const SYSTEMS: Record<string, string> = { linux: 'linux', darwin: 'darwin' }
const MACHINES: Record<string, string> = { x64: 'amd64', arm64: 'arm64' }

/** Path of anvil for this machine: the binary itself, so that neither npm's postinstall nor a Node wrapper is needed. */
export function anvilBinary(): string {
  const name = `@foundry-rs/anvil-${SYSTEMS[platform] ?? platform}-${MACHINES[arch] ?? arch}`
  try {
    const file = createRequire(import.meta.url).resolve(`${name}/bin/anvil`)
    accessSync(file, constants.X_OK)
    return file
  } catch (error) {
    throw new ChainError(
      'NO_ANVIL',
      `the program of the development chain (${name}) isn't installed`,
      'Install the gateway again with npm\'s optional dependencies, or configure a chain of kind "rpc" instead.',
      error,
    )
  }
}
