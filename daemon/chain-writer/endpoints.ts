/**
 * Several endpoints of one chain in order of preference. One that fails rests, longer each time, and is passed over
 * meanwhile; its turn comes back by itself. None is asked anything before it has said, in this round, that it serves
 * the right chain: what another chain says of our nonce and head would be taken for a loss of ours.
 */
import { assertChain, chainOver } from './chain.ts'
import { ChainError, type RpcRefusal, refusalOf } from './chain-error.ts'
import type { Rpc } from './json-rpc.ts'
import { meaningOf } from './node-words.ts'

export interface Endpoints extends Rpc {
  readonly count: number
  /** From now on each endpoint must name its chain again before it is asked. */
  newRound(): void
  /** The usable ones but the one that answered last: for a second opinion, and to spread a transaction. */
  others(): Rpc[]
  /** The one that answered last contradicts itself or the others: it rests. */
  distrust(error: ChainError): void
  /** Those that failed several times in a row, with what happened last. */
  readonly unwell: readonly { readonly host: string; readonly error: unknown; readonly failures: number }[]
}

interface Endpoint {
  readonly rpc: Rpc
  failures: number
  restsUntil: number
  error: unknown
  round: number
}

const FIRST_REST_MS = 1_000
const LONGEST_REST_MS = 300_000
/** So many failures in a row are more than a hiccup. */
const UNWELL = 3

export function endpointsOf(options: {
  readonly rpcs: readonly Rpc[]
  readonly chainId: number
  readonly now: () => number
}): Endpoints {
  const { chainId, now } = options
  const all = options.rpcs.map(
    (rpc): Endpoint => ({ rpc, failures: 0, restsUntil: 0, error: undefined, round: 0 }),
  )
  let round = 1
  let last = all[0]!

  const rest = (endpoint: Endpoint, error: unknown) => {
    const pause = Math.min(FIRST_REST_MS * 2 ** Math.min(endpoint.failures, 20), LONGEST_REST_MS)
    endpoint.failures++
    endpoint.error = error
    endpoint.round = 0
    endpoint.restsUntil = now() + Math.max(pause, refusalOf(error)?.retryAfterMs ?? 0)
  }
  const usable = () => all.filter(({ restsUntil }) => restsUntil <= now())

  /** Where all rest, all are tried: the one that rests least first. */
  const inOrder = () => {
    const ready = usable()
    return ready.length > 0 ? ready : all.toSorted((a, b) => a.restsUntil - b.restsUntil)
  }

  const askOne = async <T>(
    endpoint: Endpoint,
    method: string,
    params: readonly unknown[],
    reader: (answer: unknown) => T,
  ): Promise<T> => {
    try {
      if (endpoint.round !== round) {
        await assertChain(chainOver(endpoint.rpc), chainId)
        endpoint.round = round
      }
      const answer = reader(await endpoint.rpc.call(method, params))
      endpoint.failures = 0
      endpoint.restsUntil = 0
      return answer
    } catch (error) {
      if (isFault(error, method)) rest(endpoint, error)
      throw error
    }
  }

  const ask = async <T>(
    method: string,
    params: readonly unknown[],
    reader: (answer: unknown) => T,
  ): Promise<T> => {
    let failed: unknown
    for (const endpoint of inOrder()) {
      try {
        last = endpoint
        return await askOne(endpoint, method, params, reader)
      } catch (error) {
        if (!isFault(error, method)) throw error
        failed ??= error
      }
    }
    throw failed
  }

  return {
    count: all.length,
    get host() {
      return last.rpc.host
    },
    ask,
    call: (method, params) => ask(method, params, (answer) => answer),
    newRound() {
      round++
    },
    others: () =>
      usable()
        .filter((endpoint) => endpoint !== last)
        .map((endpoint) => {
          const one = <T>(method: string, params: readonly unknown[], reader: (answer: unknown) => T) =>
            askOne(endpoint, method, params, reader)
          return {
            host: endpoint.rpc.host,
            ask: one,
            call: (method, params) => one(method, params, (answer) => answer),
          }
        }),
    distrust: (error) => rest(last, error),
    get unwell() {
      return all
        .filter(({ failures }) => failures >= UNWELL)
        .map(({ rpc, error, failures }) => ({ host: rpc.host, error, failures }))
    },
  }
}

function isFault(error: unknown, method: string): boolean {
  if (!(error instanceof ChainError)) return false
  if (error.code === 'RPC_REFUSED') return !isAnswer(error.cause as RpcRefusal, method)
  return error.code === 'RPC_UNREACHABLE' || error.code === 'RPC_GARBAGE' || error.code === 'WRONG_CHAIN'
}

/**
 * A refusal is an answer where the chain itself says no: to a transaction, to a call, to a tag that it doesn't have.
 * Where the endpoint refuses (busy, no such plan, a key that is no longer good), another may not.
 */
function isAnswer(refusal: RpcRefusal, method: string): boolean {
  const { status, message, data } = refusal
  if (status >= 100 && status < 600) return false
  if (method === 'eth_getBlockByNumber') return true
  const meaning = meaningOf(refusal)
  if (meaning !== undefined) return meaning !== 'busy'
  return status === EXECUTION_REVERTED || data !== undefined || /revert/i.test(message)
}

/** Geth and its kin: with the revert data. */
const EXECUTION_REVERTED = 3
