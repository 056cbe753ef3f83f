/** Why a command can not do its work, before it began. */
import { AnchorError, messageOf } from '../daemon/base/errors.ts'

type CliErrorCode =
  | 'NOT_ROOT'
  | 'NO_EVIDENCE'
  | 'NO_VERIFIER_KEY'
  | 'NO_ENDPOINT'
  | 'NO_LOG'
  | 'FILE_UNUSABLE'
  | 'NO_EXCHANGE'
  | 'NO_PROVIDER'
  | 'UNFIT_REQUEST'
  | 'NOT_CONFIRMED'
  | 'NOT_DELEGATED'
  | 'NOT_ON_CHAIN'
  | 'NO_REQUEST'
  | 'BAD_SIGNATURE'
  | 'ERASURE_FAILED'
  | 'WRONG_DESCRIPTOR'
  | 'NO_AUTHORITY'

class CliError extends AnchorError<CliErrorCode> {}

/** @throws CliError NOT_ROOT, naming the command to type instead. */
export function requireRoot(command: string): void {
  if (process.getuid?.() === 0) return
  throw new CliError(
    'NOT_ROOT',
    `agent-anchor ${command} needs root: what is recorded is kept from everybody else`,
    `Run: sudo agent-anchor ${command}`,
  )
}

export class NoEvidence extends CliError {
  constructor(stateDir: string) {
    super(
      'NO_EVIDENCE',
      `no gateway has recorded anything in ${stateDir}`,
      'Run installers/install.sh, or name the configuration in use with --config.',
    )
  }
}

export class NoAuthority extends CliError {
  constructor(file: string, cause?: unknown) {
    super(
      'NO_AUTHORITY',
      `there is no CA of a gateway in ${file}`,
      'Run installers/install.sh, or name the configuration in use with --config.',
      cause,
    )
  }
}

export class NoLog extends CliError {
  constructor(directory: string) {
    super(
      'NO_LOG',
      `no gateway has written a log in ${directory}`,
      'Start it: systemctl start agent-anchor, or agent-anchor daemon; or name the configuration in use with --config.',
    )
  }
}

export class NoVerifierKey extends CliError {
  constructor(file: string) {
    super(
      'NO_VERIFIER_KEY',
      `${file} is missing beside the log that it is the key of`,
      'Restore it: it is one line, which every receipt of this log holds as its verifierKey.',
    )
  }
}

/** A copy of a log is checked against the key that its reader expects, not against one that lies beside it. */
export class KeyWanted extends CliError {
  constructor() {
    super(
      'NO_VERIFIER_KEY',
      'whose log this is, its verifier key must say',
      'Give --key VKEY, or a file that holds it.',
    )
  }
}

/** A file that was named on the command line. */
export class FileUnusable extends CliError {
  constructor(what: 'read' | 'write', file: string, cause: unknown) {
    super(
      'FILE_UNUSABLE',
      `cannot ${what} ${file}: ${messageOf(cause)}`,
      what === 'read' ? 'Name a file that is there.' : 'Name a file in a directory that is there.',
      cause,
    )
  }
}

export class WrongDescriptor extends CliError {
  constructor(option: string) {
    super(
      'WRONG_DESCRIPTOR',
      `${option} takes the number of an open file descriptor: 0, or 3 and above`,
      `For example: agent-anchor ${option} 3 … 3< <(COMMAND THAT PRINTS IT)`,
    )
  }
}

export class NotConfirmed extends CliError {
  constructor(word: string) {
    super(
      'NOT_CONFIRMED',
      'nothing was done: it was not confirmed',
      `Type "${word}" when asked, or give --yes.`,
    )
  }
}

export class ErasureFailed extends CliError {
  constructor(message: string, remedy: string, cause?: unknown) {
    super('ERASURE_FAILED', message, remedy, cause)
  }
}

export class NoEndpoint extends CliError {
  constructor(chainId: number) {
    super(
      'NO_ENDPOINT',
      `no chain ${chainId} is configured here`,
      'Name an RPC endpoint of it with --rpc URL, or verify with --offline.',
    )
  }
}

export class NotDelegated extends CliError {
  constructor(why: string) {
    super(
      'NOT_DELEGATED',
      `there is nobody to be asked: ${why}`,
      'Set `owner` of a chain in the configuration to the account that is to own the log there, and restart the gateway.',
    )
  }
}

export class NotOnChain extends CliError {
  constructor(chain: string, gateway: string) {
    super(
      'NOT_ON_CHAIN',
      `the contract isn't on ${chain} yet`,
      `The gateway deploys it as soon as its account ${gateway} can pay: see agent-anchor chain status.`,
    )
  }
}

export class NoRequest extends CliError {
  constructor(chain: string) {
    super(
      'NO_REQUEST',
      `nothing was asked of the owner on ${chain}`,
      `Run agent-anchor chain authorization request --chain ${chain}: its output is what the owner signs.`,
    )
  }
}

export class BadSignature extends CliError {
  constructor(owner: string | undefined, signer: string | undefined) {
    super(
      'BAD_SIGNATURE',
      owner === undefined
        ? 'this is no signature'
        : `this is not the signature of ${owner}${signer === undefined ? '' : ` but of ${signer}, or of another document`}`,
      'Have the owner sign exactly what the newest request printed (eth_signTypedData_v4), and give the hex that the wallet answers.',
    )
  }
}

export class NoExchange extends CliError {
  constructor(id: string) {
    super(
      'NO_EXCHANGE',
      `the record ${id} is not one of an exchange, so no rule was asked about it`,
      'agent-anchor records --kind exchange lists those.',
    )
  }
}

export class NoProvider extends CliError {
  /** @param guess what was probably meant */
  constructor(id: string, guess: string | undefined) {
    super(
      'NO_PROVIDER',
      `the catalogue has no provider \`${id.slice(0, 80)}\``,
      guess === undefined ? 'Name one of providers.yaml, or a --host.' : `Did you mean \`${guess}\`?`,
    )
  }
}

export class UnfitRequest extends CliError {
  constructor(option: string, why: string) {
    super('UNFIT_REQUEST', `--${option} can't be described so: ${why}`, 'Describe it shorter, or by --body.')
  }
}
