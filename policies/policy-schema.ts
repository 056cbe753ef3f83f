/**
 * The one schema of a policy; its JSON Schema is made from it (json-schema.ts). What is left out of a file is as
 * in the policy `standard`, and a test holds the two equal. Combinations that would promise what isn't done are
 * refused in policy-sense.ts.
 */
import { z } from 'zod'
import { Agents, Detectors, Records, Traffic } from './rules-schema.ts'
import { cgroups, groups, hosts, PolicyName, port, ports, users } from './schema-parts.ts'

const Outcome = z.enum(['splice', 'refuse'])

const towards = (providerAddress: 'splice' | 'refuse', what: string) =>
  z
    .strictObject({
      providerAddress: Outcome.default(providerAddress).describe('… towards a known provider address.'),
      otherAddress: Outcome.default('splice').describe('… towards any other address.'),
    })
    .prefault({})
    .describe(what)

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

export const PolicySchema = z.strictObject({
  apiVersion: z.literal('agent-anchor/v1'),
  kind: z.literal('Policy'),
  name: PolicyName.describe("The file's name without .yaml; stands before each rule in the records."),
  description: z.string().max(500).default(''),
  enforcement: Enforcement.describe('What the kernel does.'),
  proxy: ProxySettings.describe('What the proxy does with a connection, by what its first bytes show.'),
  agents: Agents.describe('Names for who calls; rules and records use them.'),
  detectors: Detectors.describe("Patterns of one's own, for `content` of rules."),
  traffic: Traffic.describe('What may pass of what would be let through.'),
  records: Records.describe('What is kept of what was recorded.'),
})
