/** The wide laboratory with its witnesses, and the gateway in it under one policy after the other. */
import { parseLeaf } from '../../../daemon/recorder/index/row.ts'
import { openIndex } from '../../../daemon/recorder/index-reader.ts'
import type { LogRecord } from '../../../daemon/recorder/record.ts'
import { PROXY_ACCOUNT } from '../../../daemon/supervisor/accounts.ts'
import { type Gateway, startGateway } from '../../lab/gateway.ts'
import { type Lab, startLab } from '../../lab/lab.ts'
import { spawnIn } from '../../lab/network.ts'
import { startPacketLog } from '../../lab/packet-log.ts'
import { PATH } from '../../lab/places.ts'
import { collect } from '../../lab/process.ts'
import { watchProxyFlows } from '../../lab/proxy-flows.ts'
import { type User, userNamed } from '../../lab/users.ts'
import type { Sight } from './judge.ts'

export interface World {
  readonly lab: Lab
  /** Of the last `enforce`. */
  readonly gateway: Gateway
  /** Starts the gateway, or starts it again, under this policy. */
  enforce(policy: string, settings?: string): Promise<void>
  /** Whether a gateway has been started yet. */
  isEnforcing(): boolean
  sight(): Promise<Sight>
  /** Records after this leaf, oldest first. */
  recordsAfter(leaf: number): LogRecord[]
  /** The newest leaf there is a record of; -1 where there is none. */
  newestLeaf(): number
  /** Packets by counter, of all the product's tables together. */
  counters(): Promise<ReadonlyMap<string, number>>
  stop(): Promise<void>
}

const PAGE = 500

/**
 * @param begin brings a gateway up, given what stands in gateway.yaml
 * @param proxy the account that its proxies have or will have
 */
export async function openWorld(
  begin: (settings: string) => Promise<Gateway> = startGateway,
  proxy: Pick<User, 'uid'> = userNamed(PROXY_ACCOUNT),
): Promise<World> {
  const lab = await startLab({ wide: true })
  const [packets, flows] = await Promise.all([startPacketLog(), watchProxyFlows(proxy)])
  let gateway: Gateway | undefined
  const running = (): Gateway => {
    if (gateway === undefined) throw new Error('no gateway yet: enforce() comes first')
    return gateway
  }
  return {
    lab,
    get gateway() {
      return running()
    },
    async enforce(policy, settings = '') {
      await gateway?.stop()
      gateway = await begin(`policy: ${policy}\nanchoring: {maxDelayMs: 60000}\n${settings}`)
    },
    isEnforcing: () => gateway !== undefined,
    async sight() {
      // The kernel's word last: a connection that the internet saw is in it by then.
      const [connections, seen] = [await lab.wireLog(), [...(await packets.packets())]]
      return { connections, packets: seen, proxyFlows: await flows.flows() }
    },
    recordsAfter(leaf) {
      const index = openIndex(running().paths.recorderState)
      const records: LogRecord[] = []
      for (let before: number | undefined; ; ) {
        const rows = index.list({ limit: PAGE, before })
        const fresh = rows.filter((row) => row.leaf > leaf)
        records.push(...fresh.map((row) => parseLeaf(row.bytes)))
        before = rows.at(-1)?.leaf
        if (fresh.length < PAGE) break
      }
      index.close()
      return records.reverse()
    },
    newestLeaf() {
      const index = openIndex(running().paths.recorderState)
      const [row] = index.list({ limit: 1 })
      index.close()
      return row?.leaf ?? -1
    },
    async counters() {
      const argv = ['nft', '-j', 'list', 'counters']
      const { stdout } = await collect(spawnIn('host', 'root', argv, { env: { PATH }, stdio: 'pipe' }))
      const { nftables } = JSON.parse(stdout) as Counters
      const sums = new Map<string, number>()
      for (const { counter } of nftables) {
        if (!counter?.table.startsWith('aa_')) continue
        sums.set(counter.name, (sums.get(counter.name) ?? 0) + counter.packets)
      }
      return sums
    },
    async stop() {
      await gateway?.stop()
      await flows.stop()
      await packets.stop()
      await lab.stop()
    },
  }
}

interface Counters {
  readonly nftables: readonly {
    readonly counter?: { readonly table: string; readonly name: string; readonly packets: number }
  }[]
}
