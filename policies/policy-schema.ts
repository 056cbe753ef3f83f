/**
 * The one schema of a policy; its JSON Schema is made from it (json-schema.ts). What is left out of a file is as
 * in the policy `standard`, and a test holds the two equal. Combinations that would promise what isn't done are
 * refused in policy-sense.ts.
 */
import { z } from 'zod'
import { parseGlob } from './host-glob.ts'
import { parseNetwork } from './network.ts'

/** Lists are for people to read; longer ones belong into a catalogue or a group. */
const LONGEST_LIST = 256
/** 2^32 - 1 is "no user" to the kernel (chown(2)). */
const MAX_ID = 0xffff_fffe

const Outcome = z.enum(['splice', 'refuse'])

const towards = (providerAddress: 'splice' | 'refuse', what: string) =>
  z
    .strictObject({
      providerAddress: Outcome.default(providerAddress).describe('… towards a known provider address.'),
      otherAddress: Outcome.default('splice').describe('… towards any other address.'),
    })
    .prefault({})
    .describe(what)

function list<Item extends z.ZodType<string | number>>(item: Item, what: string) {
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

const port = z.int().min(1).max(65535)
const ports = list(port, 'this port')

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
const users = list(account('user'), 'this user')
const groups = list(account('group'), 'this group')

/** As `/proc/PID/cgroup` shows it less the leading slash; no more than nft's quoted strings carry. */
const cgroups = list(
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
const hosts = list(HostPattern, 'this host')

const addresses = list(
  z
    .string()
    .describe('An address, or a network in CIDR notation.')
    .superRefine((source, context) => {
      const network = parseNetwork(source)
      if (typeof network === 'string') context.addIssue({ code: 'custom', message: network })
    }),
  'this network',
)

const plainName = /^[a-z][a-z0-9-]{0,62}$/
export const PolicyName = z
  .string()
  .regex(plainName, 'a policy name is of lower-case letters, digits and `-`, beginning with a letter')

const Enforcement = z
  .strictObject({
    fence: z
      .enum(['nothing', 'providers', 'everything'])
      .default('providers')
      .describe('What is refused past the proxy, also while the daemon is down.'),
    redirect: z
      .enum(['ports', 'all'])
      .default('ports')
      .describe('What goes through the proxy: `ports` and all TCP to known provider addresses; or all TCP.'),
    ports: ports
      .min(1)
      .max(64)
      .default([80, 443])
      .describe('TCP ports that go through the proxy, whatever the address.'),
    subjects: z
      .strictObject({
        users: z
          .union([z.literal('everyone'), users], '`users` must be `everyone` or a list of names and uids')
          .default('everyone')
          .describe('Root is among everyone.'),
        groups: groups.default([]).describe("The group of the socket's creator."),
        cgroups: cgroups.default([]).describe('Paths below /sys/fs/cgroup.'),
        containers: z.boolean().default(true).describe('What arrives on the bridges of gateway.yaml.'),
      })
      .prefault({})
      .describe('Whose traffic is governed.'),
    exempt: z
      .strictObject({ users: users.default([]), groups: groups.default([]), cgroups: cgroups.default([]) })
      .prefault({})
      .describe('Whose traffic is left alone, neither redirected nor fenced.'),
    allow: z
      .array(
        z.strictObject({
          protocol: z.enum(['tcp', 'udp']),
          ports: ports.min(1).max(64),
          users: users.min(1).describe('Those that the machine lacks are left out.'),
        }),
      )
      .max(64)
      .default([])
      .describe('What passes the fence although that refuses everything: time, DHCP.'),
    dns: z
      .enum(['direct', 'guarded'])
      .default('direct')
      .describe('Guarded: port 53 goes to a forwarder on this machine, whatever server was asked.'),
    local: z
      .array(z.strictObject({ port, provider: z.string().describe("A provider's id in the catalogue.") }))
      .max(64)
      .default([])
      .describe('Servers on this machine whose plain HTTP is recorded.'),
    logGroup: z
      .int()
      .min(1)
      .max(65535)
      .default(71)
      .describe('Netfilter log group that refused packets are copied to.'),
    dnsLogGroup: z
      .int()
      .min(1)
      .max(65535)
      .default(72)
      .describe('Netfilter log group that DNS answers are copied to.'),
  })
  .prefault({})

const ProxySettings = z
  .strictObject({
    unknownName: z
      .enum(['splice', 'refuse', 'intercept'])
      .default('splice')
      .describe(
        'TLS or HTTP to a name that the catalogue lacks; intercept: TLS is looked into for LLM calls.',
      ),
    exceptions: hosts.default([]).describe('Never looked into where unknownName is intercept.'),
    unvouchedName: z
      .enum(['refuse', 'record'])
      .default('refuse')
      .describe(
        'A name that the catalogue lacks towards a known provider address where the server has no certificate for it.',
      ),
    noName: towards('refuse', 'TLS or HTTP without a name, or with an address in its place.'),
    otherProtocol: towards('refuse', 'Neither TLS nor HTTP.'),
    silent: towards('refuse', 'Nothing sent before the sniffing time ended: server-first protocols.'),
    encryptedName: towards(
      'refuse',
      'Encrypted Client Hello (RFC 9849) under a name that the catalogue lacks.',
    ),
    nameMismatch: z.enum(['refuse', 'record']).default('refuse').describe('SNI is not the Host.'),
    foreignAddress: z
      .enum(['correct', 'refuse'])
      .default('correct')
      .describe("A governed name towards an address that is none of the name's; correct: dial its own."),
    plainHttp: z.enum(['record', 'refuse']).default('record').describe('A governed name over plain HTTP.'),
    tunnel: z
      .enum(['record', 'inspect', 'refuse'])
      .default('inspect')
      .describe(
        'CONNECT and SOCKS; inspect: cut where a governed name shows inside, record: only note that.',
      ),
    unlistedCalls: z
      .enum(['record', 'pass', 'refuse'])
      .default('record')
      .describe('A call shaped like an LLM call to a host that the catalogue lacks, where it can be seen.'),
    resolvers: z
      .enum(['pass', 'refuse'])
      .default('pass')
      .describe('DNS over TLS, and the known services of DNS over HTTPS (resolvers.yaml).'),
    longNames: z
      .enum(['pass', 'refuse'])
      .default('pass')
      .describe('DNS names that carry data; seen only where dns is guarded.'),
    altSvc: z
      .enum(['strip', 'pass'])
      .default('strip')
      .describe("A governed host's advertisement of HTTP/3, which can't be recorded."),
    uninterceptable: z
      .enum(['refuse', 'splice'])
      .default('refuse')
      .describe(
        'A program that refuses our certificate for a name (it pins another), or whose server there asks for a certificate of its own; splice: what it calls by that name passes unread for an hour.',
      ),
    unrecorded: z
      .enum(['refuse', 'forward'])
      .default('refuse')
      .describe('A governed call whose record cannot be kept: recorder down, disk full.'),
  })
  .prefault({})

const TrafficRule = z.strictObject({
  name: z
    .string()
    .regex(plainName, "a rule's name is of lower-case letters, digits and `-`, beginning with a letter")
    .describe('Stands in records: POLICY/traffic/NAME.'),
  action: z.enum(['allow', 'block']),
  providers: list(z.string(), 'this provider')
    .min(1)
    .exactOptional()
    .describe('Ids in the catalogue; `*`: all of them.'),
  hosts: hosts.min(1).exactOptional(),
  addresses: addresses.min(1).exactOptional(),
  ports: ports.min(1).exactOptional(),
  users: users.min(1).exactOptional(),
})

const Traffic = z
  .strictObject({
    default: z.enum(['allow', 'block']).default('allow').describe('Where no rule matches.'),
    rules: z.array(TrafficRule).max(LONGEST_LIST).default([]).describe('The first that matches decides.'),
  })
  .prefault({})

export const PolicySchema = z.strictObject({
  apiVersion: z.literal('agent-anchor/v1'),
  kind: z.literal('Policy'),
  name: PolicyName.describe("The file's name without .yaml; stands before each rule in the records."),
  description: z.string().max(500).default(''),
  enforcement: Enforcement.describe('What the kernel does.'),
  proxy: ProxySettings.describe('What the proxy does with a connection, by what its first bytes show.'),
  traffic: Traffic.describe('What may pass of what would be let through.'),
})
