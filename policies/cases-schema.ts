/** Cases of a policy: what it must make of a connection or a request, as `agent-anchor policy test` checks it. */
import { z } from 'zod'
import { PolicyName } from './schema-parts.ts'

const Text = z.string().max(4096)
const Uid = z.int().min(0).max(0xffff_fffe)

/** What is seen of a connection (decision.ts). */
const Connection = z.strictObject({
  protocol: z.enum(['tls', 'http', 'h2-preface', 'socks', 'other', 'silent']).default('tls'),
  name: Text.exactOptional().describe('SNI, or Host.'),
  ech: z.boolean().exactOptional(),
  address: Text.default('192.0.2.1'),
  port: z.int().min(1).max(65535).default(443),
  toProvider: z.boolean().default(false).describe('It goes to a known address of a provider.'),
  toOwn: z.boolean().exactOptional().describe('It goes to an address of this machine.'),
  uid: Uid.exactOptional(),
  method: Text.exactOptional(),
  target: Text.exactOptional(),
  tunnelTarget: Text.exactOptional(),
  tunnelBlind: z.enum(['BIND', 'UDP ASSOCIATE']).exactOptional(),
  inTunnel: z.boolean().exactOptional(),
})

/** A request on an intercepted connection; a body is made of `model`, `tools` and `text`, unless it is given. */
export const DescribedRequest = z.strictObject({
  provider: z.string().exactOptional().describe('Its id; else the one that the catalogue has for `host`.'),
  host: Text.exactOptional().describe("Else one of the provider's."),
  address: Text.default('192.0.2.1'),
  port: z.int().min(1).max(65535).default(443),
  method: Text.default('POST'),
  path: Text.default('/v1/chat/completions'),
  model: Text.exactOptional(),
  tools: z.array(Text).max(64).exactOptional(),
  text: z.string().max(65_536).exactOptional(),
  body: z
    .string()
    .max(16 << 20)
    .exactOptional(),
  size: z.int().min(0).exactOptional().describe('Of a body that is too long to be looked into.'),
  signed: z.boolean().default(false).describe("With AWS's signature."),
  agent: z
    .strictObject({
      uid: Uid.exactOptional(),
      gid: Uid.exactOptional(),
      cgroup: Text.exactOptional(),
      unit: Text.exactOptional(),
      container: Text.exactOptional(),
      executable: Text.exactOptional(),
      sha256: z
        .string()
        .regex(/^[0-9a-f]{64}$/)
        .exactOptional(),
    })
    .prefault({}),
})

const expectation = <Actions extends readonly [string, ...string[]]>(actions: Actions) =>
  z.strictObject({
    action: z.enum(actions),
    rule: z.string().exactOptional().describe('Without the policy’s name: `governed-name`, `traffic/NAME`.'),
  })

const Case = z.union([
  z.strictObject({
    name: z.string().min(1).max(200),
    connection: Connection,
    expect: expectation(['intercept', 'splice', 'refuse', 'inspect']),
  }),
  z.strictObject({
    name: z.string().min(1).max(200),
    request: DescribedRequest,
    expect: expectation(['allow', 'block', 'redact']).exactOptional(),
    records: expectation(['anchor', 'keep', 'metadata-only', 'redact', 'discard']).exactOptional(),
  }),
])

export const CasesSchema = z.strictObject({
  apiVersion: z.literal('agent-anchor/v1'),
  kind: z.literal('PolicyCases'),
  policy: PolicyName,
  cases: z.array(Case).min(1).max(1000),
})
