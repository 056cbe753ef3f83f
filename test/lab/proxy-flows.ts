/**
 * The kernel's own word on which connections left `host` from the proxy's account: a table beside the product's,
 * owned by a process of the laboratory's so that no flush of the ruleset takes it away.
 */
import { LabError } from './lab-error.ts'
import { spawnIn } from './network.ts'
import { PATH } from './places.ts'
import { collect } from './process.ts'
import type { User } from './users.ts'

const TABLE = 'lab_proxy_flows'

export interface ProxyFlows {
  /** Each as `flowKey` writes it. */
  flows(): Promise<ReadonlySet<string>>
  stop(): Promise<void>
}

interface End {
  readonly address: string
  readonly port: number
}

export const flowKey = (protocol: 'tcp' | 'udp', from: End, to: End): string =>
  `${protocol}|${from.address}|${from.port}|${to.address}|${to.port}`

/** @throws LabError `witness-failed` */
export async function watchProxyFlows(proxy: Pick<User, 'uid'>): Promise<ProxyFlows> {
  const child = spawnIn('host', 'root', ['nft', '-i'], { env: { PATH }, stdio: ['pipe', 'ignore', 'pipe'] })
  let said = ''
  child.stderr!.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  child.stdin!.on('error', () => {})
  const gone = new Promise<void>((done) => child.once('close', () => done()))
  child.stdin!.write(script(proxy.uid))
  const end = Date.now() + 5000
  while ((await list('4')) === undefined || (await list('6')) === undefined) {
    if (Date.now() > end || said !== '') {
      child.kill('SIGKILL')
      throw new LabError('witness-failed', `nft: ${said}`, 'The laboratory needs nft 1.0.6 or later.')
    }
  }
  return {
    async flows() {
      const [four, six] = await Promise.all([list('4'), list('6')])
      if (four === undefined || six === undefined) {
        throw new LabError(
          'witness-failed',
          'the table of the proxy’s flows is gone',
          'Look for who took it.',
        )
      }
      return new Set([...four, ...six])
    },
    async stop() {
      child.stdin!.end()
      await gone
    },
  }
}

/** One command a line, as `nft -i` takes them. Last of all hooks: what passes here leaves. */
function script(uid: number): string {
  const commands = [
    `add table inet ${TABLE} { flags owner; }`,
    `add chain inet ${TABLE} output { type filter hook output priority 300; policy accept; }`,
    ...(['4', '6'] as const).flatMap((family) => {
      const ip = family === '4' ? 'ip' : 'ip6'
      const set = `inet ${TABLE} flows${family}`
      const address = `ipv${family}_addr`
      const tuple = `meta l4proto . ${ip} saddr . th sport . ${ip} daddr . th dport`
      return [
        `add set ${set} { type inet_proto . ${address} . inet_service . ${address} . inet_service; flags dynamic; size 65535; }`,
        `add rule inet ${TABLE} output meta skuid ${uid} tcp flags & (syn | ack) == syn add @flows${family} { ${tuple} }`,
        `add rule inet ${TABLE} output meta skuid ${uid} meta l4proto udp add @flows${family} { ${tuple} }`,
      ]
    }),
  ]
  return `${commands.join('\n')}\n`
}

interface Listing {
  readonly nftables: readonly {
    readonly set?: {
      readonly elem?: readonly { readonly concat: readonly ['tcp' | 'udp', string, number, string, number] }[]
    }
  }[]
}

/** Undefined where the set isn't there. */
async function list(family: '4' | '6'): Promise<string[] | undefined> {
  const argv = ['nft', '-j', 'list', 'set', 'inet', TABLE, `flows${family}`]
  const { code, stdout } = await collect(spawnIn('host', 'root', argv, { env: { PATH }, stdio: 'pipe' }))
  if (code !== 0) return undefined
  const { nftables } = JSON.parse(stdout) as Listing
  return nftables.flatMap(({ set }) =>
    (set?.elem ?? []).map(({ concat: [protocol, from, fromPort, to, toPort] }) =>
      flowKey(protocol, { address: from, port: fromPort }, { address: to, port: toPort }),
    ),
  )
}
