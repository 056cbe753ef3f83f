/** Parts of the policy's schema that stand in several of its sections: names, lists, accounts, hosts, networks. */
import { z } from 'zod'
import { parseGlob } from './host-glob.ts'
import { parseNetwork } from './network.ts'

/** Lists are for people to read; longer ones belong into a catalogue or a group. */
export const LONGEST_LIST = 256
/** 2^32 - 1 is "no user" to the kernel (chown(2)). */
const MAX_ID = 0xffff_fffe

export function list<Item extends z.ZodType<string | number>>(item: Item, what: string) {
  return z
    .array(item)
    .max(LONGEST_LIST)
    .superRefine((entries, context) => {
      const seen = new Set<string | number>()
      for (const [index, entry] of entries.entries()) {
        if (seen.has(entry))
          context.addIssue({ code: 'custom', path: [index], message: `${what} stands here twice: keep one` })
        seen.add(entry)
      }
    })
}

export const port = z.int().min(1).max(65535)
export const ports = list(port, 'this port')

/** As useradd(8) takes them, and wider for directory services: `DOMAIN\user`, `user@domain`. */
const ACCOUNT = /^[A-Za-z_][A-Za-z0-9_.@\\-]{0,63}\$?$/
const account = (kind: 'user' | 'group') => {
  const id = kind === 'user' ? 'uid' : 'gid'
  return z.union(
    [
      z.int().min(0, `a ${id} is 0 at least`).max(MAX_ID, `a ${id} is ${MAX_ID} at most`),
      z.string().regex(ACCOUNT, `this is no ${kind}'s name; a ${id} is written without quotes`),
    ],
    `a ${kind} is a name or a ${id}`,
  )
}
export const users = list(account('user'), 'this user')
export const groups = list(account('group'), 'this group')

/** As `/proc/PID/cgroup` shows it less the leading slash; no more than nft's quoted strings carry. */
export const cgroups = list(
  z
    .string()
    .max(255)
    .regex(
      /^(?!\.{1,2}(?:\/|$))[A-Za-z0-9_.@:+=\\-]+(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9_.@:+=\\-]+){0,15}$/,
      'a cgroup is a path below /sys/fs/cgroup without a leading `/`, like `system.slice/agent.service`',
    ),
  'this cgroup',
)

const HostPattern = z
  .string()
  .describe('A host name; `*` is (part of) one label, `#` digits, `**` one or more whole labels.')
  .superRefine((source, context) => {
    const glob = parseGlob(source, 'any')
    if (typeof glob === 'string') context.addIssue({ code: 'custom', message: glob })
  })
export const hosts = list(HostPattern, 'this host')

export const addresses = list(
  z
    .string()
    .describe('An address, or a network in CIDR notation.')
    .superRefine((source, context) => {
      const network = parseNetwork(source)
      if (typeof network === 'string') context.addIssue({ code: 'custom', message: network })
    }),
  'this network',
)

export const plainName = /^[a-z][a-z0-9-]{0,62}$/
export const PolicyName = z
  .string()
  .regex(plainName, 'a policy name is of lower-case letters, digits and `-`, beginning with a letter')
