/**
 * The one schema of gateway.yaml; the type `Config` and every default come from it. Units stand in the names.
 * installers/gateway.yaml shows each setting with its default, and a test holds the two equal.
 */
import { posix } from 'node:path'
import { z } from 'zod'
import { PolicyName } from '../../policies/schema-parts.ts'
import { messageOf } from '../base/errors.ts'
import { COSIGNATURE, ED25519, parseVerifierKey } from '../ledger/note.ts'
import { parseListen, parseServer } from './server-address.ts'

/** sockaddr_un holds 108 bytes with the final zero (unix(7)); the longest socket is runtimeDir's recorder/recorder.sock. */
const MAX_RUNTIME_DIR = 107 - '/recorder/recorder.sock'.length

const absolutePath = z
  .string()
  .max(1024)
  .refine((path) => posix.isAbsolute(path), 'this must be an absolute path, beginning with `/`')
  .refine((path) => !path.includes('\0') && posix.normalize(path) === path && !/.\/$/.test(path), {
    error: 'write the path without `.`, `..`, doubled or closing slashes',
  })
  .refine((path) => path !== '/', 'the root directory is nothing to keep files in: name one below it')

const port = z.int().min(1).max(65535)

/** IFNAMSIZ is 16 with the final zero; of what the kernel allows, what the firewall takes (firewall/enforcement.ts). */
const interfaceName = z
  .string()
  .regex(
    /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,14}|[A-Za-z0-9_.-]{0,13}\*)$/,
    'an interface name has 1 to 15 letters, digits, `_`, `.` or `-`; a final `*` stands for any ending',
  )

/**
 * What the usual engines put containers and virtual machines on. Where a bridge's members are listed too (`veth*`),
 * no harm is done: packets are seen under the bridge's own name.
 */
const CONTAINER_BRIDGES = [
  'docker0',
  'br-*',
  'podman*',
  'cni*',
  'cali*',
  'lxc*',
  'lxdbr*',
  'incusbr*',
  'virbr*',
  'veth*',
  'flannel*',
  'nerdctl*',
  've-*',
  'vb-*',
  'vz-*',
]

const server = z.string().transform((text, context) => {
  const found = parseServer(text)
  if (found) return found
  context.addIssue({
    code: 'custom',
    message:
      'a DNS server is an address, with a port if it is not 53: `192.0.2.53`, `192.0.2.53:5353`, `[2001:db8::53]:5353`',
  })
  return z.NEVER
})

/** A signed note's name (c2sp.org/signed-note): not empty, without white space and `+`. ASCII, so that it reads as it is. */
const origin = z
  .string()
  .regex(/^[!-*,-~]{1,200}$/, 'a log origin is up to 200 printable ASCII characters without spaces and `+`')

/** Below 1024 only root may listen, and what strangers speak to is not root. */
const listen = z.string().transform((text, context) => {
  const found = parseListen(text)
  if (found !== undefined && found.port >= 1024) return found
  context.addIssue({
    code: 'custom',
    message: 'an address with a port from 1024 on: `127.0.0.1:8480`, `0.0.0.0:8480`, `[::]:8480`',
  })
  return z.NEVER
})

const chainName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, 'a chain name is of lower-case letters, digits and `-`, 32 at most')

/** As written; in milliseconds. An hour at least: what goes by age goes by packs of a tenth of it. */
const duration = measure(
  { h: 3_600_000, d: 86_400_000 },
  3_600_000,
  'an age is a whole number of hours or days: `48h`, `90d`',
)

/** As written; in bytes. */
const byteSize = measure(
  { MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 },
  2 ** 20,
  'a size is a whole number of MiB, GiB or TiB: `512MiB`, `50GiB`',
)

const rpcUrl = z.string().max(2048).refine(isHttpUrl, 'this must be an http:// or https:// URL')

/** `name+id+key` of a log or of a witness (c2sp.org/signed-note, c2sp.org/tlog-cosignature). */
const verifierKey = (type: typeof ED25519 | typeof COSIGNATURE) =>
  z.string().superRefine((text, context) => {
    try {
      parseVerifierKey(text, type)
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) })
    }
  })

const Witnesses = z
  .strictObject({
    atLeast: z.int().min(1),
    of: z
      .array(z.strictObject({ url: rpcUrl, key: verifierKey(COSIGNATURE) }))
      .min(1)
      .max(16)
      .refine((all) => new Set(all.map(({ key }) => key)).size === all.length, {
        error: 'a witness stands here twice: each counts once',
      }),
  })
  .refine(({ atLeast, of }) => atLeast <= of.length, {
    error: 'there are fewer witnesses than `atLeast` asks for',
    path: ['atLeast'],
  })

const Chain = z.discriminatedUnion('kind', [
  /** The embedded chain: works without a network, and is no independent evidence. */
  z.strictObject({ name: chainName, kind: z.literal('development') }),
  z.strictObject({
    name: chainName,
    kind: z.literal('rpc'),
    chainId: z.int().min(1),
    /** Asked in this order. */
    rpc: z.array(rpcUrl).min(1).max(10),
    /** AnchorRegistry's address; absent: where CREATE2 puts it. */
    contract: z
      .string()
      .regex(/^0x[0-9a-fA-F]{40}$/, 'a contract address is `0x` and 40 hex digits')
      .exactOptional(),
    /** Blocks upon an anchor before it counts as final; absent: the chain's own finality. */
    confirmations: z.int().min(0).max(10_000).exactOptional(),
  }),
])

export const ConfigSchema = z
  .strictObject({
    stateDir: absolutePath.default('/var/lib/agent-anchor'),
    runtimeDir: absolutePath
      .refine(
        (path) => Buffer.byteLength(path) <= MAX_RUNTIME_DIR,
        `sockets below it would have too long a name: ${MAX_RUNTIME_DIR} bytes at most`,
      )
      .default('/run/agent-anchor'),
    logDir: absolutePath.default('/var/log/agent-anchor'),
    policiesDir: absolutePath.default('/etc/agent-anchor/policies'),
    /** One of the shipped policies, or a file of that name in policiesDir. */
    policy: PolicyName.default('standard'),
    vault: z.strictObject({ hostKeyFile: absolutePath.default('/etc/agent-anchor/host.key') }).prefault({}),
    listen: z
      .strictObject({
        ports: z
          .strictObject({
            transparent: port.default(18443),
            dns: port
              .refine((value) => value !== 53, 'port 53 is what the guard stands in for: use another')
              .default(18053),
            developmentChain: port.default(18545),
          })
          .prefault({})
          .superRefine(differentPorts),
      })
      .prefault({}),
    proxy: z
      .strictObject({
        workers: z
          .union(
            [z.literal('auto'), z.int().min(1).max(64)],
            '`workers` must be `auto` or a number from 1 to 64',
          )
          .default('auto'),
        sniffTimeoutMs: z.int().min(50).max(60_000).default(3000),
      })
      .prefault({}),
    bridges: z
      .array(interfaceName)
      .max(64)
      .refine((names) => new Set(names).size === names.length, 'a bridge stands here twice: keep one')
      .default(CONTAINER_BRIDGES),
    dns: z
      .strictObject({
        /** Asked by the DNS guard in this order; empty: the resolvers of this machine. */
        upstreams: z.array(server).max(8).default([]),
      })
      .prefault({}),
    recording: z
      .strictObject({ durability: z.enum(['before-forward', 'async']).default('before-forward') })
      .prefault({}),
    /** Of the content of records; the records themselves stay. */
    retention: z
      .strictObject({
        maxAge: duration.exactOptional(),
        maxSize: byteSize.exactOptional(),
        whenDiskFull: z.enum(['refuse', 'expire']).default('refuse'),
        reserve: byteSize.exactOptional(),
      })
      .prefault({}),
    ledger: z
      .strictObject({
        origin: origin.exactOptional(),
        checkpointIntervalMs: z.int().min(50).max(60_000).default(1000),
        /** Where the log is served to foreign monitors; absent: nowhere. */
        http: z.strictObject({ listen, entries: z.boolean().default(false) }).exactOptional(),
        /** Who cosigns this log's checkpoints: at least so many of these. */
        witnesses: Witnesses.exactOptional(),
        /** Where other logs are cosigned, under which name, and which; absent: none. */
        witness: z
          .strictObject({ listen, name: origin, logs: z.array(verifierKey(ED25519)).min(1).max(1000) })
          .exactOptional(),
      })
      .prefault({}),
    anchoring: z
      .strictObject({
        maxDelayMs: z.int().min(1000).max(86_400_000).default(60_000),
        maxLeaves: z.int().min(1).max(1_000_000).default(1000),
      })
      .prefault({}),
    chains: z
      .array(Chain)
      .min(1, 'at least one chain must be here; `kind: development` needs nothing from outside')
      .max(16)
      .superRefine(differentChains)
      .default([{ name: 'development', kind: 'development' }]),
  })
  .superRefine(separateDirectories)

function measure(units: Readonly<Record<string, number>>, least: number, message: string) {
  return z.string().transform((text, context) => {
    const [, number, unit] = /^([0-9]{1,6}) ?([A-Za-z]+)$/.exec(text) ?? []
    const value = Number(number) * ((unit && Object.hasOwn(units, unit) && units[unit]) || Number.NaN)
    if (value >= least) return value
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })
}

function differentPorts(ports: Readonly<Record<string, number>>, context: z.RefinementCtx): void {
  const owners = new Map<number, string>()
  for (const [name, number] of Object.entries(ports)) {
    const owner = owners.get(number)
    owners.set(number, owner ?? name)
    if (owner === undefined) continue
    const message = `this port is \`${owner}\` already: the ports must differ`
    context.addIssue({ code: 'custom', path: [name], message })
  }
}

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:')
}

function differentChains(chains: readonly z.output<typeof Chain>[], context: z.RefinementCtx): void {
  const names = new Set<string>()
  let development: string | undefined
  for (const [index, chain] of chains.entries()) {
    if (names.has(chain.name)) {
      const message = `another chain is called \`${chain.name}\`: give each a name of its own`
      context.addIssue({ code: 'custom', path: [index, 'name'], message })
    }
    names.add(chain.name)
    if (chain.kind !== 'development') continue
    if (development !== undefined) {
      const message = `\`${development}\` is the development chain already: there is one`
      context.addIssue({ code: 'custom', path: [index, 'kind'], message })
    }
    development ??= chain.name
  }
}

/** Removing or mounting over one of them must not take another along. */
function separateDirectories(
  config: { readonly stateDir: string; readonly runtimeDir: string; readonly logDir: string },
  context: z.RefinementCtx,
): void {
  const names = ['stateDir', 'runtimeDir', 'logDir'] as const
  for (const [index, name] of names.entries()) {
    for (const earlier of names.slice(0, index)) {
      const [a, b] = [`${config[name]}/`, `${config[earlier]}/`]
      if (!a.startsWith(b) && !b.startsWith(a)) continue
      const message = `\`${name}\` and \`${earlier}\` must not be the same or one in the other`
      context.addIssue({ code: 'custom', path: [name], message })
    }
  }
}
