/**
 * The group that made a socket: the kernel tells a socket's user to whoever asks, its group only by the socket itself,
 * through a process that holds it. It is the maker's at that time, also where others hold the socket now.
 */
import { readdirSync, readlinkSync, statSync } from 'node:fs'
import type { Attribution } from './attribution/attribution.ts'
import { socketLink } from './attribution/holders.ts'

/** An inode suffices: the ends are not looked at where it is known. */
const ENDS = { protocol: 'tcp', family: 4, client: { address: '::', port: 0 } } as const

/** Undefined where nobody is found to hold it. Rejects never. */
export async function socketGroup(
  ask: Attribution['ask'],
  inode: number,
  proc = '/proc',
): Promise<number | undefined> {
  const owners = await ask({ ...ENDS, destination: ENDS.client, inode })
  for (const { pid } of owners) {
    const gid = groupIn(`${proc}/${pid}/fd`, inode)
    if (gid !== undefined) return gid
  }
  return undefined
}

function groupIn(directory: string, inode: number): number | undefined {
  try {
    const link = readdirSync(directory)
      .map((name) => `${directory}/${name}`)
      .find((each) => readlinkSync(each) === socketLink(inode))
    const found = link === undefined ? undefined : statSync(link)
    // The descriptor may be another's by now.
    return found?.isSocket() && found.ino === inode ? found.gid : undefined
  } catch {
    return undefined
  }
}
