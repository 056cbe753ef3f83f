import { AnchorError } from '../base/errors.ts'

export type ChainErrorCode =
  /** No answer: refused, reset, name unknown, or too late. */
  | 'RPC_UNREACHABLE'
  /** The endpoint answered with a JSON-RPC error or an HTTP status; `cause` is an {@link RpcRefusal}. */
  | 'RPC_REFUSED'
  /** The endpoint answered something that no node may answer. */
  | 'RPC_GARBAGE'
  | 'WRONG_CHAIN'
  /** No contract, or another one than ours, at the configured address. */
  | 'WRONG_CONTRACT'
  /** The contract says no; `cause` is an {@link RpcRefusal}. */
  | 'REVERTED'
  | 'NOT_AUTHORIZED'
  | 'UNFUNDED'
  | 'FEES_TOO_HIGH'
  /** The day's budget doesn't pay for the next transaction. */
  | 'OVER_BUDGET'
  /** No block has come since the transaction was sent. */
  | 'STALLED'
  /** One endpoint alone says something that isn't acted on before another says it too. */
  | 'UNCONFIRMED'
  /** The chain holds another root than ours for one size. */
  | 'EQUIVOCATION'
  /** The chain holds a larger tree than the ledger. */
  | 'LEDGER_BEHIND'
  | 'NO_CONSISTENCY_PROOF'
  /** The chain has no such anchor. */
  | 'NOT_ANCHORED'
  | 'STATE_DAMAGED'
  | 'BAD_MESSAGE'
  | 'NO_ANVIL'

export class ChainError extends AnchorError<ChainErrorCode> {}

/** What an endpoint said when it refused: kept as the `cause` of the error. */
export interface RpcRefusal {
  /** JSON-RPC error code, or the HTTP status. */
  readonly status: number
  /** In the endpoint's words, cleaned and cut. */
  readonly message: string
  /** Revert data, 0x-hex; absent where the endpoint gives none. */
  readonly data?: string
  /** How long the endpoint asks to be left alone. */
  readonly retryAfterMs?: number
}

export function refusalOf(error: unknown): RpcRefusal | undefined {
  if (!(error instanceof ChainError) || (error.code !== 'RPC_REFUSED' && error.code !== 'REVERTED'))
    return undefined
  return error.cause as RpcRefusal
}

/** An answer that no honest node gives. */
export function garbage(what: string, cause?: unknown): ChainError {
  return new ChainError(
    'RPC_GARBAGE',
    what,
    'This is no honest Ethereum endpoint: correct `rpc` of this chain in the configuration.',
    cause,
  )
}
