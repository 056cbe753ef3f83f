/**
 * Who calls, by the names that a policy gives.
 *
 * Threat model: an agent chooses what it calls itself and where a file lies in a container; uid, control group and the
 * executable's bytes are the kernel's word. What could not be found out is unknown: nobody whom a rule allows, anybody
 * whom it blocks.
 */
import type { Policy } from './policy.ts'
import { matchesText } from './text-glob.ts'
import { all, any, known, type Truth } from './truth.ts'

export type NamedAgent = Policy['agents'][number]

interface Where {
  readonly cgroup?: string | undefined
  readonly unit?: string | undefined
  readonly container?: string | undefined
}

/** As records have it (docs/formats.md, agent). */
export interface Identity extends Where {
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  readonly processes?:
    | readonly (Where & { readonly executable?: string | undefined; readonly sha256?: string | undefined })[]
    | undefined
  readonly more?: number | undefined
}

/** Of several processes that hold one socket, must all be of the name, or does one suffice? */
export type Extent = 'every' | 'some'

/**
 * Is it an agent of this name?
 * @param pending more about it is on its way
 */
export function isNamed(
  agents: readonly NamedAgent[],
  name: string,
  identity: Identity,
  pending: boolean,
  extent: Extent,
): Truth {
  const entries = agents.filter((agent) => agent.name === name)
  const found = any(entries.map((entry) => matches(entry, identity, extent)))
  return found === 'unknown' && pending ? 'awaited' : found
}

/** The first name that certainly is the agent's, in the policy's order: for its record. */
export function nameOf(agents: readonly NamedAgent[], identity: Identity): string | undefined {
  return agents.find((entry) => matches(entry, identity, 'every') === 'yes')?.name
}

function matches(entry: NamedAgent, identity: Identity, extent: Extent): Truth {
  const { users, groups, units, containers, executables, sha256 } = entry
  const { processes = [], more = 0 } = identity
  const ofProcesses = (test: (process: (typeof processes)[number]) => Truth): Truth => {
    const each = processes.map(test)
    if (more > 0 || each.length === 0) each.push('unknown')
    return extent === 'every' ? all(each) : any(each)
  }
  return all([
    ...(users ? [oneOf(users, identity.uid)] : []),
    ...(groups ? [oneOf(groups, identity.gid)] : []),
    ...(units ? [ofPlace(units, identity, 'unit', extent)] : []),
    ...(containers ? [ofPlace(containers, identity, 'container', extent)] : []),
    ...(executables ? [ofProcesses(({ executable }) => oneLike(executables, executable))] : []),
    ...(sha256 ? [ofProcesses((process) => oneOf(sha256, process.sha256))] : []),
  ])
}

/** The socket's own, or where processes are elsewhere, theirs too. Who has a control group and no unit is in none. */
function ofPlace(
  globs: readonly string[],
  identity: Identity,
  key: 'unit' | 'container',
  extent: Extent,
): Truth {
  const told = (at: Where): Truth => {
    if (at[key] !== undefined) return oneLike(globs, at[key])
    return at.cgroup === undefined ? 'unknown' : 'no'
  }
  // What a process shares with the agent isn't said again.
  const others = (identity.processes ?? []).filter(({ cgroup }) => cgroup !== undefined)
  const each = [told(identity), ...others.map(told)]
  return extent === 'every' ? all(each) : any(each)
}

const oneOf = <T>(wanted: readonly T[], value: T | undefined): Truth =>
  value === undefined ? 'unknown' : known(wanted.includes(value))

const oneLike = (globs: readonly string[], value: string | undefined): Truth =>
  value === undefined ? 'unknown' : known(globs.some((glob) => matchesText(glob, value)))
