/**
 * Whether a sender is one that the policy governs, as the rules judge it (firewall/nftables-senders.ts): exempt senders
 * go where they like, and so does who isn't among the subjects. Pure.
 *
 * Threat model: what can't be told is governed. All that is judged by is the maker's of the socket: no process can take
 * an exempt one's place by what it calls itself.
 */
import type { Senders } from '../../firewall/enforcement.ts'
import type { FlowOwner } from '../../firewall/flow-owner.ts'

export interface Governed {
  readonly subjects: 'everyone' | Senders
  readonly exempt: Senders
}

/** A socket's maker; the group is not the kernel's to say without a look at the socket itself. */
export interface Maker extends Pick<FlowOwner, 'uid' | 'cgroup'> {
  readonly gid?: number | undefined
}

/** `group`: the maker's group would decide, and isn't known. */
export type Standing = 'governed' | 'free' | 'group'

/** @param isWithin whether the control group of that id is the one of that path, or beneath it */
export function standingOf(
  maker: Maker,
  { subjects, exempt }: Governed,
  isWithin: (cgroup: bigint, path: string) => boolean,
): Standing {
  const isExempt = isAmong(maker, exempt, isWithin)
  if (isExempt === true) return 'free'
  const isSubject = subjects === 'everyone' || isAmong(maker, subjects, isWithin)
  if (isSubject === false) return 'free'
  return isExempt === undefined || isSubject === undefined ? 'group' : 'governed'
}

/** Undefined where only the group could say so. */
function isAmong(
  { uid, gid, cgroup }: Maker,
  { uids, gids, cgroups }: Senders,
  isWithin: (cgroup: bigint, path: string) => boolean,
): boolean | undefined {
  if (uids.includes(uid)) return true
  if (cgroup !== undefined && cgroups.some((path) => isWithin(cgroup, path))) return true
  if (gid !== undefined) return gids.includes(gid)
  return gids.length === 0 ? false : undefined
}
