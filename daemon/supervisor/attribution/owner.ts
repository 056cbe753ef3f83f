/** Whose a connection is: the words for it, and how what was found becomes the agent of a record. Pure. */
import { type Agent, MAX_PROCESSES } from '../../recorder/record.ts'
import { describeCgroup } from './cgroup-path.ts'

export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** A connection as its client sees it. */
export interface OwnerFlow {
  readonly protocol: 'tcp' | 'udp'
  readonly family: 4 | 6
  readonly client: Endpoint
  /** What the client asked for: the original destination. */
  readonly destination: Endpoint
  /** The end that accepted it; where given, `client` is as accept(2) said, and may be translated. */
  readonly listener?: Endpoint | undefined
  /** Of the client's socket, its maker, and the id of the cgroup it was made in, where the kernel already said them. */
  readonly inode?: number | undefined
  readonly uid?: number | undefined
  readonly cgroup?: bigint | undefined
}

/** One process that holds the client's socket. */
export interface Owner {
  readonly pid: number
  /** Effective, now. */
  readonly uid: number
  readonly gid: number
  /** What it calls itself (comm): proves nothing. */
  readonly process: string
  /** Of the file that the kernel runs; ` (deleted)` behind the path where it is gone. */
  readonly executable?: string
  readonly sha256?: string
  readonly cgroup?: string
  readonly unit?: string
  readonly container?: string
}

/** The socket itself, as the kernel knows it. */
export interface OwnedSocket {
  readonly inode: number
  /** Who made it. */
  readonly uid?: number | undefined
  /** Path of the cgroup it was made in. */
  readonly cgroup?: string | undefined
}

const PLACE = ['gid', 'cgroup', 'unit', 'container'] as const

/**
 * @param owners processes that were found to hold it
 * @param beyond how many more there are
 */
export function agentOf({ inode, uid, cgroup }: OwnedSocket, owners: readonly Owner[], beyond = 0): Agent {
  const socket = { inode, ...(uid === undefined ? {} : { uid }) }
  if (owners.length === 0) return { ...socket, ...placeOf(cgroup) }
  const shared = { ...(beyond > 0 ? {} : common(owners)), ...placeOf(cgroup) }
  const processes = owners.slice(0, MAX_PROCESSES).map((owner) => {
    const { pid, process: name, executable, sha256 } = owner
    return {
      ...{ pid, name },
      ...(executable === undefined ? {} : { executable }),
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(owner.uid === uid ? {} : { uid: owner.uid }),
      ...Object.fromEntries(
        PLACE.filter((key) => owner[key] !== undefined && owner[key] !== shared[key]).map((key) => [
          key,
          owner[key],
        ]),
      ),
    }
  })
  const more = owners.length - processes.length + beyond
  return { ...socket, ...shared, processes, ...(more > 0 ? { more } : {}) }
}

/** Several sockets fit, in namespaces that nothing tells apart: only what holds for each of them is known. */
export function agentOfOneAmong(owners: readonly Owner[]): Agent {
  const { container } = common(owners)
  return container === undefined ? {} : { container }
}

type Place = Pick<Agent, (typeof PLACE)[number]>

function common(owners: readonly Owner[]): Place {
  const [first] = owners
  if (!first) return {}
  const agreed = PLACE.filter(
    (key) => first[key] !== undefined && owners.every((owner) => owner[key] === first[key]),
  )
  return Object.fromEntries(agreed.map((key) => [key, first[key]]))
}

/** The root of the hierarchy says nothing: every socket is there where systemd uses another one. */
function placeOf(cgroup: string | undefined): Place {
  return cgroup === undefined || cgroup === '/' ? {} : { cgroup, ...describeCgroup(cgroup) }
}
