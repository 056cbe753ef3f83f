/**
 * The one error base of the gateway. Each room derives its own class from it with a closed union of
 * codes; `message` says what happened, `remedy` what to do next, `cause` what lay beneath.
 */
export class AnchorError<Code extends string = string> extends Error {
  readonly code: Code
  readonly remedy: string

  constructor(code: Code, message: string, remedy: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.code = code
    this.remedy = remedy
  }
}

/** What any thrown value says, for a log line or a record. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** An error as one line: what happened, then what to do. */
export const said = (error: unknown): string =>
  error instanceof AnchorError ? `${error.message}. ${error.remedy}` : messageOf(error)
