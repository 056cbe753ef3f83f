import { AnchorError } from '../daemon/base/errors.ts'

type PolicyErrorCode =
  /** The file is not there, is no regular file, or may not be read. */
  | 'FILE_UNREADABLE'
  | 'FILE_TOO_LARGE'
  | 'NOT_UTF8'
  /** Nothing but white space and comments. */
  | 'EMPTY_DOCUMENT'
  /** Not YAML, or YAML that is refused here: duplicate keys, unknown tags, several documents, alias bombs. */
  | 'BAD_YAML'
  /** YAML, but not what the schema wants. */
  | 'INVALID_DOCUMENT'
  /** No policy of that name, neither the administrator's nor a shipped one. */
  | 'UNKNOWN_POLICY'

/** One thing wrong in a file; `line` and `column` count from 1. */
export interface Problem {
  readonly line: number
  readonly column: number
  readonly message: string
}

/** A policy, catalogue or configuration that can't be used. The message is ready to be shown in a terminal. */
export class PolicyError extends AnchorError<PolicyErrorCode> {
  /** The first 20 problems found, in the file's order; empty where the file as a whole is the problem. */
  readonly problems: readonly Problem[]

  constructor(
    code: PolicyErrorCode,
    message: string,
    remedy: string,
    problems: readonly Problem[] = [],
    cause?: unknown,
  ) {
    super(code, message, remedy, cause)
    this.problems = problems
  }
}
