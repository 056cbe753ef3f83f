/** Why a command can not do its work, before it began. */
import { AnchorError, messageOf } from '../daemon/base/errors.ts'

type CliErrorCode =
  | 'NOT_ROOT'
  | 'NO_EVIDENCE'
  | 'NO_VERIFIER_KEY'
  | 'NO_ENDPOINT'
  | 'FILE_UNUSABLE'
  | 'NO_EXCHANGE'
  | 'NOT_CONFIRMED'
  | 'ERASURE_FAILED'

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

export class NoExchange extends CliError {
  constructor(id: string) {
    super(
      'NO_EXCHANGE',
      `the record ${id} is not one of an exchange, so no rule was asked about it`,
      'agent-anchor records --kind exchange lists those.',
    )
  }
}
