/**
 * A governed name called past the proxy at an address that nobody knew for a provider's: the first packet leaves and
 * is a leak, and then there is no more of it. Under `standard`, where such addresses aren't fenced.
 */
import t, { type Test } from 'tap'
import { EXAMPLE, OPENAI } from '../lab/addresses.ts'
import { startContainer } from '../lab/containers.ts'
import { enterLab } from '../lab/enter.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'
import { datagrams, get, hello, inTurn, printed } from './bypass/attempts.ts'
import { refusal } from './bypass/records.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(240_000)
await enterLab(import.meta.url)
const world = await openWorld()
t.teardown(() => world.stop())
await world.enforce('standard')

const AGENT = 4001
const PATIENCE_MS = 15_000
const all = inTurn(world)

/** Every 100 ms a datagram for two seconds, after one that names the provider. */
const MORE = 20
const quicFlow = (address: string): string[] => [
  NODE,
  `${REPOSITORY}/test/lab/attackers/quic_flow.mjs`,
  JSON.stringify({ sni: OPENAI.name, address, more: MORE }),
]
const datagram = (address: string) => datagrams([{ kind: 'udp', address, port: 4433, text: 'no QUIC' }])

async function arrived(address: string): Promise<number> {
  const { packets } = await world.sight()
  return packets.filter(({ protocol, destination }) => protocol === 17 && destination === address).length
}

async function recorded(t: Test, leaf: number, what: string, wanted: Parameters<typeof refusal>[0] | 'leak') {
  const holds = wanted === 'leak' ? leakOf : refusal(wanted)
  const end = Date.now() + PATIENCE_MS
  while (!world.recordsAfter(leaf).some(holds)) {
    if (Date.now() > end) return t.fail(`no record of ${what} within ${PATIENCE_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return t.pass(`a record of ${what}`)
}
const leakOf = (record: ReturnType<typeof world.recordsAfter>[number]) =>
  record.kind === 'leak' && record.serverName === OPENAI.name

for (const address of [EXAMPLE.address4, EXAMPLE.address6]) {
  void t.test(`an agent's QUIC to a provider's name at ${address} doesn't go on`, async (t) => {
    const [leaf, cut] = [world.newestLeaf(), (await world.counters()).get('refused_cut') ?? 0]
    const [flow, another, other] = await all('agent1', quicFlow(address), datagram(address)).then(
      async (own) => [...own, ...(await all('agent2', datagram(address)))],
    )
    const { errors } = printed<{ errors: string[] }>(flow!)[0]!
    t.ok(errors.length > 0, 'the connection breaks off', { outcome: flow })
    t.same(
      errors.filter((error) => !['EPERM', 'ECONNREFUSED'].includes(error)),
      [],
      'and the agent is told so at once',
    )
    t.match(printed(another!), [{ sent: false }], 'nor does anything else of that user’s get there')
    t.match(printed(other!), [{ sent: true }], 'another user’s does')
    const got = await arrived(address)
    t.ok(got < MORE / 2 + 1, `${got} of ${MORE + 2} datagrams arrived`)
    t.ok(((await world.counters()).get('refused_cut') ?? 0) > cut, 'the counter moved')
    await recorded(t, leaf, 'what left', 'leak')
    await recorded(t, leaf, 'what didn’t', { uid: AGENT, rule: 'fence-cut', address })
  })
}

void t.test('what goes through the proxy to that address goes on', async (t) => {
  const url = `https://${EXAMPLE.name}/`
  for (const family of ['-4', '-6']) {
    const [site] = await all('agent1', get(url, family))
    t.equal(site!.code, 0, site!.stderr)
  }
})

void t.test('a container loses the flow that strayed', async (t) => {
  const container = await startContainer({ kind: 'bridge' })
  t.teardown(() => container.stop())
  const { address4: address } = EXAMPLE
  const [before, cut] = [await arrived(address), (await world.counters()).get('refused_cut') ?? 0]
  const flow = await container.run(quicFlow(address))
  t.match(printed(flow), [{ sent: MORE + 1 }], 'nobody tells it')
  const got = (await arrived(address)) - before
  t.ok(got > 0 && got < MORE / 2, `${got} of ${MORE + 1} datagrams arrived`)
  t.ok(((await world.counters()).get('refused_cut') ?? 0) > cut, 'the counter moved')
  t.match(printed(await container.run(datagram(address))), [{ sent: true }])
  t.equal((await arrived(address)) - before, got + 1, 'another flow passes')
})

void t.test('TLS to a provider’s name on a port that nobody redirects is reset', async (t) => {
  const call = hello({ address: EXAMPLE.address4, port: 8443, sni: OPENAI.name, seconds: 1 })
  const once = async () => printed<{ connected: boolean; ended: string }>((await all('agent2', call))[0]!)[0]!
  let outcome = await once()
  t.equal(outcome.connected, true, 'a user who has not strayed yet gets there')
  const end = Date.now() + PATIENCE_MS
  while (outcome.connected && Date.now() < end) outcome = await once()
  t.match(outcome, { connected: false, ended: 'ECONNREFUSED' })
})
