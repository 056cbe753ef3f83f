/**
 * What nodes mean when they refuse a transaction: pure. There is no standard for it: JSON-RPC gives nearly all of
 * them the code -32000, and each client has words of its own (the test has the sentences, by client).
 */
import type { RpcRefusal } from './chain-error.ts'

export type Meaning =
  /** The node has this very transaction. */
  | 'known'
  /** The nonce is used up, perhaps by this very transaction: its receipt tells. */
  | 'nonce-too-low'
  /** Transactions before this one are missing: the node lags, or told a wrong nonce. */
  | 'nonce-too-high'
  /** Another transaction with this nonce offers as much, or the pool or the block asks for more. */
  | 'too-cheap'
  | 'unfunded'
  | 'wrong-chain'
  /** Too many requests, or the pool is full. */
  | 'busy'

/** Looked through in this order: "replacement transaction underpriced" must not be read as a full pool and the like. */
const WORDS: readonly (readonly [Meaning, RegExp])[] = [
  [
    'known',
    /already ?known|already imported|already exists|already in (the )?(mem)?pool|known transaction|existing tx with same hash|duplicate transaction/i,
  ],
  [
    'nonce-too-low',
    /nonce[ _]?(is )?too[ _]?low|old ?nonce|nonce has already been used|too stale nonce|lower than the current nonce|nonce .*already used/i,
  ],
  [
    'nonce-too-high',
    /nonce[ _]?(is )?too[ _]?high|nonce ?gap|nonce too (distant|far)|nonce .*(exceeds|in future)|futurenonce/i,
  ],
  [
    'too-cheap',
    /underpriced|fee too low|feetoolow|gas price.*too low|(fee ?cap|max ?fee ?per ?gas|gas price).*(less|lower|below|under)|insufficient gas price|replacement not allowed|could not replace existing|below (chain|configured|current) minimum|transaction price too low/i,
  ],
  [
    'unfunded',
    /insufficient (funds|balance|sender balance)|upfront cost exceeds|not enough balance|sender doesn't have enough|lack of funds|exceeds (account )?balance/i,
  ],
  [
    'wrong-chain',
    /(invalid|wrong|incorrect|unexpected|different) chain[ _-]?id|invalid sender|chain ?id .*(mismatch|does not match|is not)|only replay-protected/i,
  ],
  [
    'busy',
    /rate.?limit|limit exceeded|too many requests|request limit|exceeded .*(capacity|quota|compute units)|(tx ?pool|mempool|pool) is full|server (is )?busy|try again later/i,
  ],
]

/** EIP-1474: "limit exceeded". */
const LIMIT_EXCEEDED = -32005

export function meaningOf({ status, message }: RpcRefusal): Meaning | undefined {
  const found = WORDS.find(([, words]) => words.test(message))?.[0]
  return found ?? (status === LIMIT_EXCEEDED ? 'busy' : undefined)
}
