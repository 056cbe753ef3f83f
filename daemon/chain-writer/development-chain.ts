/**
 * The embedded development chain: anvil, on loopback, with nothing of value. It shows the way to a chain and proves
 * nothing to anybody, since whoever runs the gateway runs it too.
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { fileURLToPath } from 'node:url'
import type { Health } from '../base/health.ts'
import { anvilBinary } from './anvil-binary.ts'

/** To be shown, exactly so, wherever this chain is. */
export const DEVELOPMENT_LABEL = 'development chain: no independent evidence'

/**
 * "ANCHOR" in ASCII. The usual 31337 and 1337 are also the ids of others' test networks; this one is nobody's known
 * to us. So no transaction signed for this chain is valid elsewhere (EIP-155), and no endpoint of a real chain is
 * taken for it. Below the 4503599627370476 that wallets can hold (EIP-2294).
 */
export const DEVELOPMENT_CHAIN_ID = 0x414e43484f52

export const developmentRpc = (port: number) => `http://127.0.0.1:${port}`

const SUBDIRECTORY = 'development'
const STATE = 'state.json'
/** Seconds between anvil's own saves: a SIGKILL loses what came after, and the chain-writer anchors it again. */
const SAVE_EVERY = 30

export const stateFile = (stateDirectory: string) => join(stateDirectory, STATE)
export const setAsideFile = (stateDirectory: string) => `${stateFile(stateDirectory)}.damaged`

/**
 * What to spawn, under the account that owns `stateDirectory`: our launcher (main.ts), which looks at the state file
 * with that account's rights and then becomes anvil in the same process.
 */
export function developmentChainCommand(options: {
  readonly port: number
  /** Absolute, exists. */
  readonly stateDirectory: string
}): [command: string, ...args: string[]] {
  const launcher = fileURLToPath(new URL('main.ts', import.meta.url))
  return [
    execPath,
    '--disable-warning=ExperimentalWarning',
    launcher,
    String(options.port),
    options.stateDirectory,
  ]
}

/** anvil's own command line. @throws ChainError NO_ANVIL */
export function anvilCommand(port: number, stateDirectory: string): [command: string, ...args: string[]] {
  return [
    anvilBinary(),
    ...['--host', '127.0.0.1', '--port', String(port), '--chain-id', String(DEVELOPMENT_CHAIN_ID)],
    ...['--state', stateFile(stateDirectory), '--state-interval', String(SAVE_EVERY)],
    // No account with a key that everybody knows, and nothing for web pages to read.
    ...['--accounts', '0', '--no-cors', '--quiet'],
    // Few old states and transactions in memory, none in the home directory, one worker thread.
    ...['--prune-history', '8', '--transaction-block-keeper', '1024', '--threads', '1'],
  ]
}

/** Says so where the launcher had to set a state file aside. `chainDirectory` holds the development chain's. */
export async function setAsideHealth(chainDirectory: string): Promise<Health | undefined> {
  const file = setAsideFile(join(chainDirectory, SUBDIRECTORY))
  const there = await stat(file).catch(() => undefined)
  if (!there) return undefined
  return {
    code: 'chain.development-state-damaged',
    severity: 'info',
    title: `the development chain couldn't read its state (${there.mtime.toISOString()}) and started anew`,
    remedy: `Nothing to do: the newest checkpoint is anchored again. Remove ${file} when you have seen this; the next restart takes this away.`,
  }
}
