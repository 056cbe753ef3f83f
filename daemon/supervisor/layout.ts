/** Where everything lies below the configured directories: pure paths. */
import { join } from 'node:path'

export interface Layout {
  readonly caDirectory: string
  readonly caCertificate: string
  readonly caSealedKey: string
  readonly keysDirectory: string
  readonly verifierKey: string
  /** The verifier key of the witness that this gateway is for other logs. */
  readonly witnessKey: string
  /** What it has cosigned. */
  readonly witnessState: string
  readonly addresses: string
  readonly fenceScript: string
  /** Its time stamp says until when a gateway ran. */
  readonly alive: string
  /** Evidence that isn't in the log yet. */
  readonly evidence: string
  readonly recorderState: string
  readonly ledger: string
  /** The newest checkpoint, outside the log's directory. */
  readonly lastCheckpoint: string
  readonly chainState: string
  readonly developmentChainState: string
  /** What owners of the log on chains signed; root's. */
  readonly authorizations: string
  readonly recorderSocketDirectory: string
  readonly recorderSocket: string
  /** Open to root and the recorder only: what is asked of the running gateway. */
  readonly adminDirectory: string
  readonly adminSocket: string
  readonly statusDirectory: string
  readonly statusSocket: string
  readonly supervisorState: string
}

export function layout(directories: { readonly stateDir: string; readonly runtimeDir: string }): Layout {
  const { stateDir, runtimeDir } = directories
  return {
    caDirectory: join(stateDir, 'ca'),
    caCertificate: join(stateDir, 'ca', 'ca.crt'),
    caSealedKey: join(stateDir, 'keys', 'ca.sealed'),
    keysDirectory: join(stateDir, 'keys'),
    verifierKey: join(stateDir, 'keys', 'log.vkey'),
    witnessKey: join(stateDir, 'keys', 'witness.vkey'),
    witnessState: join(stateDir, 'witness'),
    addresses: join(stateDir, 'firewall', 'addresses.json'),
    fenceScript: join(stateDir, 'firewall', 'fence.nft'),
    alive: join(stateDir, 'firewall', 'alive'),
    evidence: join(stateDir, 'firewall', 'evidence.jsonl'),
    recorderState: join(stateDir, 'recorder'),
    ledger: join(stateDir, 'recorder', 'ledger'),
    lastCheckpoint: join(stateDir, 'recorder', 'last-checkpoint'),
    chainState: join(stateDir, 'chain'),
    developmentChainState: join(stateDir, 'chain', 'development'),
    authorizations: join(stateDir, 'authorizations'),
    recorderSocketDirectory: join(runtimeDir, 'recorder'),
    recorderSocket: join(runtimeDir, 'recorder', 'recorder.sock'),
    adminDirectory: join(runtimeDir, 'admin'),
    adminSocket: join(runtimeDir, 'admin', 'admin.sock'),
    statusDirectory: join(runtimeDir, 'status'),
    statusSocket: join(runtimeDir, 'status', 'status.sock'),
    supervisorState: join(runtimeDir, 'supervisor.json'),
  }
}
