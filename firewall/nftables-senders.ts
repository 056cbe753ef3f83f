/**
 * Whose packet it is, as rules: the proxy's, exempt, governed, or nobody's. Local senders are told by the creator
 * of the socket (user, effective group, control group), never by a packet mark, which CAP_NET_RAW can set.
 *
 * A packet may have no socket that a process holds: the kernel's own, the last segments of a closed connection,
 * and those of sockets that protocols such as SMC make inside the kernel for any user. Nobody can be told for
 * these, so an opening among them is treated as governed.
 */
import type { Enforcement, Senders } from './enforcement.ts'
import { HAS_SOCKET, quoted, type TableText } from './nftables-text.ts'

/**
 * Control groups that exist when the text is loaded, or `unknown` before the hierarchy is there (at boot): nft
 * refuses a whole ruleset for one that doesn't.
 */
export type PresentCgroups = { has(path: string): boolean } | 'unknown'

/** Declarations of the sets of senders, and the commands that fill them. */
export function senderSets(
  text: TableText,
  e: Enforcement,
  present: PresentCgroups,
): { declare: string[]; fill: string[] } {
  const types = { uids: 'uid', gids: 'gid', cgroups: 'cgroupsv2' } as const
  const declare = [text.add('set proxy_uids { type uid; }')]
  const fill = text.replace('proxy_uids', e.proxyUids)
  for (const [name, senders] of namedSenders(e)) {
    for (const kind of ['uids', 'gids', 'cgroups'] as const) {
      const set = `${name}_${kind}`
      const values = kind === 'cgroups' ? quoted(existing(senders.cgroups, present)) : senders[kind]
      declare.push(text.add(`set ${set} { type ${types[kind]}; }`))
      fill.push(...text.replace(set, values))
    }
  }
  return { declare, fill }
}

/** Commands that make the sets of control groups hold those that exist. */
export function cgroupElements(text: TableText, e: Enforcement, present: PresentCgroups): string[] {
  return namedSenders(e).flatMap(([name, { cgroups }]) =>
    text.replace(`${name}_cgroups`, quoted(existing(cgroups, present))),
  )
}

const existing = (cgroups: readonly string[], present: PresentCgroups) =>
  present === 'unknown' ? [] : cgroups.filter((path) => present.has(path))

const NOBODY: Senders = { uids: [], gids: [], cgroups: [] }

function namedSenders(e: Enforcement): ['exempt' | 'subject', Senders][] {
  return [
    ['exempt', e.exempt],
    ['subject', e.subjects === 'everyone' ? NOBODY : e.subjects],
  ]
}

/** Conditions that match exempt senders, one a rule. */
export function exemptMatches(e: Enforcement): string[] {
  return matches('exempt', e.exempt)
}

function matches(set: 'exempt' | 'subject', { cgroups }: Senders): string[] {
  const levels = [...new Set(cgroups.map((path) => path.split('/').length))].sort((a, b) => a - b)
  return [
    `meta skuid @${set}_uids`,
    `meta skgid @${set}_gids`,
    // One set serves all levels: an id is one group's, at one level.
    ...levels.map((level) => `socket cgroupv2 level ${level} @${set}_cgroups`),
  ]
}

/**
 * Conditions that match governed local senders, one a rule; they may match packets without a socket.
 * While it is unknown which control groups there are, subjects by control group can't be told from others, and
 * everybody is governed: shut for a moment rather than open.
 */
export function subjectMatches(e: Enforcement, present: PresentCgroups): 'everyone' | string[] {
  if (e.subjects === 'everyone') return 'everyone'
  if (present === 'unknown' && e.subjects.cgroups.length > 0) return 'everyone'
  return matches('subject', e.subjects)
}

/** Rules that send packets of governed sockets to `target` and let those of other sockets pass. */
export function judgeSockets(
  add: (rule: string) => string,
  subjects: 'everyone' | readonly string[],
  target: string,
): string[] {
  if (subjects === 'everyone') return [add(`${HAS_SOCKET} goto ${target}`)]
  return [...subjects.map((match) => add(`${match} goto ${target}`)), add(`${HAS_SOCKET} accept`)]
}

/** Whether all that the machine forwards is governed, what comes from the bridges, or nothing. */
export function governedForwarding(e: Enforcement): 'all' | 'bridges' | 'nothing' {
  if (e.bridges.length === 0) return 'nothing'
  return e.subjects === 'everyone' ? 'all' : 'bridges'
}
