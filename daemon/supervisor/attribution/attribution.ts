/**
 * Who is behind a connection: questions to the thread that looks, and what becomes of those that it doesn't answer. A
 * thread that fails is started anew; one that hangs (a file system that doesn't answer) is left alone and replaced.
 */
import { Worker } from 'node:worker_threads'
import { messageOf } from '../../base/errors.ts'
import type { Agent } from '../../recorder/record.ts'
import type { Log } from '../log.ts'
import type { Owner, OwnerFlow } from './owner.ts'
import type { Answered, Asked } from './thread.ts'

export interface Attribution {
  /** Every process that holds the client's socket; empty where none can be found. Rejects never. */
  ask(flow: OwnerFlow): Promise<readonly Owner[]>
  /** The same as the agent of a record; empty where nothing is known. Rejects never. */
  agent(flow: OwnerFlow): Promise<Agent>
  /** Since the start. */
  state(): AttributionState
  stop(): Promise<void>
}

export interface AttributionState {
  readonly asked: number
  /** Connections whose process could not be told. */
  readonly unknown: number
}

/** Connections whose process could not be told, from the first to the last, milliseconds since the epoch. */
export interface UnknownSpan {
  readonly count: number
  readonly from: number
  readonly to: number
}

export interface AttributionOptions {
  readonly log: Log
  /** Called at most once in `unknownEveryMs`, and at the end. */
  readonly unknown: (span: UnknownSpan) => void
  readonly unknownEveryMs?: number
  /** After this a question is answered with nothing. */
  readonly timeoutMs?: number
  /** The thread's module, for tests. */
  readonly module?: URL
}

const TIMEOUT_MS = 10_000
const UNKNOWN_EVERY_MS = 60_000
const RESTART_MS = 1000
/** Questions under way; more are answered with nothing at once. */
const MAX_WAITING = 50_000
/** Threads that hang can't be ended. More of them than this, and nobody is asked any more. */
const MAX_HUNG = 3
const MODULE = new URL('./thread.ts', import.meta.url)

interface Waiting {
  readonly at: number
  readonly answer: (found: Pick<Answered, 'owners' | 'agent'>) => void
}

const NOBODY = { owners: [], agent: {} }

export function startAttribution(options: AttributionOptions): Attribution {
  const { log, timeoutMs = TIMEOUT_MS, unknownEveryMs = UNKNOWN_EVERY_MS, module = MODULE } = options
  const waiting = new Map<number, Waiting>()
  let request = 0
  let asked = 0
  let unknown = 0
  let span: UnknownSpan | undefined
  let thread: Worker | undefined
  let restart: NodeJS.Timeout | undefined
  /** When the thread last answered, in milliseconds of the monotonic clock. */
  let heard = 0
  let hung = 0
  let stopped = false

  const count = () => {
    const now = Date.now()
    unknown += 1
    span = { count: (span?.count ?? 0) + 1, from: span?.from ?? now, to: now }
  }
  const tell = () => {
    const told = span
    span = undefined
    if (told) options.unknown(told)
  }
  const giveUp = (all: boolean) => {
    const now = performance.now()
    for (const [id, { at, answer }] of waiting) {
      if (!all && now - at < timeoutMs) break
      waiting.delete(id)
      answer(NOBODY)
    }
  }
  const start = () => {
    const current = new Worker(module)
    thread = current
    heard = performance.now()
    current.on('message', ({ request: id, owners, agent }: Answered) => {
      heard = performance.now()
      waiting.get(id)?.answer({ owners, agent })
      waiting.delete(id)
    })
    current.on('error', (error) => log.error(`attribution failed: ${messageOf(error)}`))
    current.on('exit', () => {
      if (thread !== current) return
      thread = undefined
      giveUp(true)
      if (!stopped) restart = setTimeout(start, RESTART_MS)
    })
  }
  const look = () => {
    const oldest = waiting.values().next().value
    const now = performance.now()
    if (thread && oldest && now - Math.max(oldest.at, heard) > timeoutMs && hung < MAX_HUNG) {
      hung += 1
      log.error(
        `attribution has not answered for ${timeoutMs} ms; ${hung < MAX_HUNG ? 'started anew' : 'off'}`,
      )
      thread.unref()
      thread = undefined
      giveUp(true)
      if (hung < MAX_HUNG) start()
    }
    giveUp(false)
  }
  start()
  const looking = setInterval(look, timeoutMs / 10)
  const telling = setInterval(tell, unknownEveryMs)

  const found = (flow: OwnerFlow): Promise<Pick<Answered, 'owners' | 'agent'>> => {
    asked += 1
    return new Promise((resolve) => {
      const answer: Waiting['answer'] = (answered) => {
        if (answered.owners.length === 0) count()
        resolve(answered)
      }
      if (!thread || stopped || waiting.size >= MAX_WAITING) return answer(NOBODY)
      request += 1
      waiting.set(request, { at: performance.now(), answer })
      thread.postMessage({ request, flow } satisfies Asked)
    })
  }

  return {
    ask: async (flow) => (await found(flow)).owners,
    agent: async (flow) => (await found(flow)).agent,
    state: () => ({ asked, unknown }),
    async stop() {
      stopped = true
      clearTimeout(restart)
      clearInterval(looking)
      clearInterval(telling)
      giveUp(true)
      tell()
      await thread?.terminate()
    },
  }
}
