/** Names that lie about their addresses: numbers 76 and 77. */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { EXAMPLE, LINK, METADATA, OPENAI, RELAY } from '../../../lab/addresses.ts'
import type { Outcome } from '../../../lab/process.ts'
import { answered, get, inTurn } from '../attempts.ts'
import type { BypassCase } from '../case.ts'
import { inHosts, localSite, metadataVisits, withHosts } from '../names.ts'
import { asked, exchange, failed, refusal } from '../records.ts'
import type { World } from '../world.ts'
import { show } from './upstream-certificates.ts'

const { address4, address6, name } = OPENAI
const models = `https://${name}/v1/models`
const AGENT = 4001
const FOREIGN = 'harmless.example.net'
/** Where no provider can be, and where only the machine itself is. */
const NOWHERE = [METADATA.address4, '127.0.0.1', '::1', LINK.host4, LINK.host6]

export function rebinding(world: World): BypassCase {
  const { lab } = world
  const all = inTurn(world)
  /** What a service of the machine was asked. */
  const visits: string[] = []
  let proxyVisits: unknown[] = []

  async function rebound(): Promise<Outcome[]> {
    const site = lab.spawnAs('root', localSite(80), { cwd: '/' })
    const lines = createInterface({ input: site.stdout! })
    await once(lines, 'line')
    lines.on('line', (line) => visits.push(line))
    const before = await world.sight()
    const outcomes: Outcome[] = []
    for (const [index, address] of NOWHERE.entries()) {
      const governed = `rebound${index}.openai.azure.com`
      const foreign = `rebound${index}.example.net`
      for (const each of [governed, foreign])
        await lab.ask({ type: 'addresses', name: each, addresses: [address] })
      // Towards an address of the agent's choice, and for the foreign name towards a provider's.
      outcomes.push(
        ...(await all(
          'agent1',
          get(`http://${governed}/?governed${index}`, '--resolve', `${governed}:80:${EXAMPLE.address4}`),
          get(`http://${foreign}/?foreign${index}`, '--resolve', `${foreign}:80:${address4}`),
          get(`https://${foreign}/?foreign${index}`, '-k', '--resolve', `${foreign}:443:${address6}`),
        )),
      )
    }
    proxyVisits = metadataVisits(before, await world.sight()).proxy
    site.kill()
    await once(site, 'exit')
    return outcomes
  }

  return {
    ...{ result: 'refused', saw: 'nothing', counter: 'redirected' },
    number: 77,
    open: false,
    name: "governed and foreign names that resolve to the metadata service, to loopback and to the machine's own addresses",
    attempt: rebound,
    client: (t, outcomes) => {
      t.same(proxyVisits, [], 'the metadata service saw nothing of the proxy')
      t.same(visits, [], "nor did the machine's own services")
      for (const { stdout } of outcomes) t.notMatch(stdout, /^HTTP\/1\.1 200 /)
    },
    records: [
      ...NOWHERE.flatMap((_, index) => [
        asked(`?governed${index}`, failed('upstream_unresolved'), exchange({ uid: AGENT })),
        refusal({ uid: AGENT, rule: /^(other|unvouched)-name$/, serverName: `rebound${index}.example.net` }),
      ]),
    ],
  }
}

export function hostsFiles(world: World): BypassCase {
  const all = inTurn(world)
  return {
    ...{ result: 'captured', saw: 'proxy', counter: 'redirected' },
    number: 76,
    traces: 5,
    watch: [RELAY],
    secret: 'sk-lab',
    name: "a provider's name put to an agent's own host, by root and by a user for himself; a foreign name put to a provider's address",
    attempt: async () => {
      const calls = await all(
        'agent1',
        withHosts(`${RELAY.address4} ${name}`, get(`${models}?own-hosts`, '-k')),
        withHosts(`${RELAY.address6} ${name}`, get(`${models}?own-hosts`, '-k')),
        withHosts(`${address4} ${FOREIGN}`, get(`https://${FOREIGN}/v1/models?foreign`, '-k')),
        withHosts(`${address6} ${FOREIGN}`, get(`http://${FOREIGN}/v1/models?foreign`)),
      )
      // Nobody is connected to the provider any more.
      await show(world, 'good')
      const lines = [RELAY.address4, RELAY.address6].map((address) => `${address} ${name}`).join('\n')
      const roots = await inHosts(lines, () => all('agent1', get(`${models}?roots-hosts`, '-k')))
      return [...calls, ...roots]
    },
    client: (t, [own4, own6, tls, plain, roots]) => {
      answered(t, [own4!, own6!])
      for (const { stdout } of [tls!, plain!]) t.notMatch(stdout, /^HTTP\/1\.1 200 /)
      t.match(roots?.stdout, /^HTTP\/1\.1 502 [\s\S]*upstream_untrusted/)
    },
    records: [
      ...[RELAY.address4, RELAY.address6].map((address) =>
        asked('?own-hosts', exchange({ uid: AGENT, status: 200, address, mismatch: true })),
      ),
      ...[address4, address6].map((address) =>
        refusal({ uid: AGENT, rule: /^(other|unvouched)-name$/, serverName: FOREIGN, address }),
      ),
      asked('?roots-hosts', exchange({ uid: AGENT, outcome: 'upstream-untrusted' })),
    ],
  }
}
