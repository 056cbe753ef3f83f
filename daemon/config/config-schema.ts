/**
 * The one schema of gateway.yaml; the type `Config` and every default come from it. Units stand in the names.
 * installers/gateway.yaml shows each setting with its default, and a test holds the two equal.
 */
import { posix } from 'node:path'
import { z } from 'zod'
import { PolicyName } from '../../policies/schema-parts.ts'
import { MECHANISMS } from '../vault/pkcs11-mechanism.ts'
import { PROVIDERS } from '../vault/wrapping-key.ts'
import { AnchoringSchema, possibleAnchoring } from './anchoring-schema.ts'
import { Chains } from './chains-schema.ts'
import { parseListen, parseServer } from './server-address.ts'
import { logVerifierKey, Witnesses } from './witnesses-schema.ts'

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

/** PKCS#11 pads the labels of tokens to 32 bytes. */
const label = z.string().regex(/^[!-~](?:[ -~]{0,30}[!-~])?$/, 'a label is of 1 to 32 printable characters')

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
    /** What seals the keys. Never a key, passphrase or PIN: those are asked for, or come by descriptor. */
    vault: z
      .strictObject({
        provider: z.enum(['auto', ...PROVIDERS]).default('auto'),
        hostKeyFile: absolutePath.default('/etc/agent-anchor/host.key'),
        pkcs11: z
          .strictObject({
            module: absolutePath,
            token: label,
            key: label.default('agent-anchor'),
            mechanism: z.enum(MECHANISMS).default('aes-gcm'),
          })
          .exactOptional(),
      })
      .prefault({})
      .refine(({ provider, pkcs11 }) => provider !== 'pkcs11' || pkcs11 !== undefined, {
        path: ['pkcs11'],
        error:
          'the provider pkcs11 needs `pkcs11` with the path of its `module` and the label of its `token`',
      }),
    /** How long clients have to learn a new CA before it signs: see `agent-anchor trust rotate`. */
    ca: z.strictObject({ overlap: duration.prefault('7d') }).prefault({}),
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
        /** Where Prometheus finds the metrics; absent: nowhere. */
        metrics: listen
          .refine(({ address }) => address === '::1' || address.startsWith('127.'), {
            error: 'metrics stay on this machine: `127.0.0.1:9464` or `[::1]:9464`',
          })
          .exactOptional(),
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
    shutdown: z
      .strictObject({
        /** How long a stop waits for exchanges that are under way; they are cut then. */
        drainMs: z.int().min(0).max(600_000).default(20_000),
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
          .strictObject({ listen, name: origin, logs: z.array(logVerifierKey).min(1).max(1000) })
          .exactOptional(),
      })
      .prefault({}),
    anchoring: AnchoringSchema,
    chains: Chains.default([{ name: 'development', kind: 'development' }]),
  })
  .superRefine(separateDirectories)
  .superRefine(possibleAnchoring)

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
