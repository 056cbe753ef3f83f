/** The runtimes on the machine, each with what it learns to trust the authority from, and whether that says so. */

import { type ClientRuntime, clientRuntime } from '../../ca/client-runtimes.ts'
import type { EnvironmentCheck } from '../../ca/environment-sinks/environment-sink.ts'
import type { Program } from './programs.ts'
import type { StoreRow } from './store-rows.ts'

export interface RuntimeRow {
  readonly runtime: string
  readonly path: string
  readonly version?: string
  /** Whose it is, for one in a home directory. */
  readonly user?: string
  /** Names of variables or stores. */
  readonly learnsFrom: readonly string[]
  /** `trusted`: what it learns from says so, for a program that starts now. */
  readonly state: StoreRow['state']
  readonly remedy?: string
}

/** @param environment what stands in the machine-wide environment; undefined where that couldn't be read */
export function runtimeRows(
  programs: readonly Program[],
  stores: readonly StoreRow[],
  environment: EnvironmentCheck | undefined,
): RuntimeRow[] {
  return programs.flatMap((program) => {
    const runtime = clientRuntime(program.path)
    if (runtime === undefined) return []
    const { path, version, user } = program
    const learnt =
      runtime.variables.length > 0 ? byVariables(runtime, environment) : byStores(runtime, program, stores)
    return {
      runtime: runtime.name,
      path,
      ...(version === undefined ? {} : { version }),
      ...(user === undefined ? {} : { user }),
      ...learnt,
    }
  })
}

type Learnt = Pick<RuntimeRow, 'learnsFrom' | 'state' | 'remedy'>

function byVariables({ variables }: ClientRuntime, environment: EnvironmentCheck | undefined): Learnt {
  if (environment === undefined) return { learnsFrom: variables, state: 'unknown' }
  const theirs = environment.kept.find(({ name }) => variables.includes(name))
  if (theirs !== undefined) return { learnsFrom: variables, state: 'stale', remedy: theirs.remedy }
  if (environment.state === 'set') return { learnsFrom: variables, state: 'trusted' }
  return { learnsFrom: variables, state: environment.state, remedy: 'Run installers/install.sh again.' }
}

/** One of its own kind that trusts is enough; where it has none, it reads the system's. */
function byStores(runtime: ClientRuntime, { real, user }: Program, stores: readonly StoreRow[]): Learnt {
  const own = stores.filter(({ store }) => {
    const kind = runtime.stores.find((prefix) => store.startsWith(prefix))
    if (kind === undefined) return false
    const of = store.slice(kind.length)
    if (kind === 'java:') return real.startsWith(`${of}/`)
    return kind !== 'nss:' || user === undefined || of === user
  })
  const system = stores.filter((store) => store.system)
  // A browser without a store of its own kind has none that we can write to; a Java then reads the system's.
  const reads = own.length > 0 || runtime.stores.some((prefix) => prefix !== 'java:') ? own : system
  const best = reads.find(({ state }) => state === 'trusted') ?? reads[0]
  if (best === undefined) {
    return {
      learnsFrom: [],
      state: 'absent',
      remedy: 'Start it once, so that it makes its database, and run: sudo agent-anchor trust install',
    }
  }
  const { state, remedy } = best
  return { learnsFrom: [best.store], state, ...(remedy === undefined ? {} : { remedy }) }
}
