/** The wide laboratory: containers of every kind, a provider that moves, and the witnesses that bypass tests trust. */
import t from 'tap'
import { addressesOf, LINK, OPENAI } from '../lab/addresses.ts'
import { curlCommand } from '../lab/client-commands.ts'
import { type ContainerKind, startContainer } from '../lab/containers.ts'
import { enterLab } from '../lab/enter.ts'
import { startLab } from '../lab/lab.ts'
import { startPacketLog } from '../lab/packet-log.ts'
import { flowKey, watchProxyFlows } from '../lab/proxy-flows.ts'
import { userNamed } from '../lab/users.ts'
import { DNS_TYPE, datagrams, dnsQuestion, printed } from './bypass/attempts.ts'

await enterLab(import.meta.url)
const lab = await startLab({ wide: true })
t.teardown(() => lab.stop())

const models = { url: `https://${OPENAI.name}/v1/models`, headers: { Authorization: 'Bearer sk-lab' } }

void t.test('stands in less than three seconds', async (t) => {
  t.ok(lab.setUpMs < 3000, `${lab.setUpMs} ms`)
})

for (const kind of ['bridge', 'veth', 'macvlan', 'host-network'] satisfies ContainerKind[]) {
  void t.test(
    `a container (${kind}) reaches providers under its own addresses, its root without CAP_NET_ADMIN`,
    async (t) => {
      const container = await startContainer({ kind })
      for (const [family, own] of [
        ['-4', container.address4],
        ['-6', container.address6],
      ] as const) {
        const { code, stderr } = await container.run(
          curlCommand(models, [family, '--retry', '3', '--retry-all-errors']),
        )
        t.equal(code, 0, stderr)
        t.equal((await lab.wireLog()).at(-1)?.remoteAddress, own)
      }
      const { stdout } = await container.run(['/bin/cat', '/proc/self/status'])
      const capabilities = Number.parseInt(/CapEff:\t([0-9a-f]+)/.exec(stdout)?.[1] ?? '0', 16)
      t.ok(capabilities & (1 << 13), 'CAP_NET_RAW')
      t.notOk(capabilities & (1 << 12), 'CAP_NET_ADMIN')
      await container.stop()
    },
  )
}

void t.test(
  'containers on one bridge have addresses of one network, those on another have not',
  async (t) => {
    const first = await startContainer({ kind: 'bridge', bridge: 'br-one' })
    const second = await startContainer({ kind: 'bridge', bridge: 'br-one' })
    const third = await startContainer({ kind: 'bridge', bridge: 'br-two' })
    t.equal(first.gateway4, second.gateway4)
    t.not(first.address4, second.address4)
    t.not(first.gateway4, third.gateway4)
    for (const each of [first, second, third]) await each.stop()
  },
)

void t.test('a provider moves to its next addresses, and is there at all of them', async (t) => {
  t.equal(addressesOf(OPENAI).length, 4)
  await lab.ask({ type: 'resolve', name: OPENAI.name, families: 'both', next: true })
  t.equal((await lab.run('agent1', curlCommand(models, ['-4']))).code, 0)
  t.equal((await lab.wireLog()).at(-1)?.localAddress, OPENAI.next?.address4)
  await lab.ask({ type: 'resolve', name: OPENAI.name, families: 'both' })
  t.equal((await lab.run('agent1', curlCommand(models, ['-4']))).code, 0)
  t.equal((await lab.wireLog()).at(-1)?.localAddress, OPENAI.address4)
})

void t.test('HTTPS records come and go', async (t) => {
  const ask = async () => {
    const asked = { server: '203.0.113.53', name: OPENAI.name, type: DNS_TYPE.https, by: 'udp' } as const
    return printed<{ answers: unknown[] }>(await lab.run('agent1', dnsQuestion(asked)))[0]?.answers
  }
  t.same(await ask(), [])
  await lab.ask({ type: 'https-record', name: OPENAI.name, record: 'ech' })
  t.same(await ask(), [{ keys: [1, 5] }])
  await lab.ask({ type: 'https-record', name: OPENAI.name, record: 'none' })
  t.same(await ask(), [])
})

void t.test('the packet log has what no server would tell of', async (t) => {
  const log = await startPacketLog()
  t.teardown(() => log.stop())
  const sent = datagrams([
    { kind: 'icmp', address: OPENAI.address4, text: 'hidden' },
    { kind: 'udplite', address: OPENAI.address6, port: 7 },
    { kind: 253, address: OPENAI.address4 },
  ])
  await lab.run('root', sent)
  t.match(await log.packets(), [
    {
      protocol: 1,
      icmpType: 8,
      destination: OPENAI.address4,
      head: new RegExp(Buffer.from('hidden').toString('hex')),
    },
    { protocol: 136, destinationPort: 7, destination: OPENAI.address6 },
    { protocol: 253, source: LINK.host4 },
  ])
})

void t.test(
  'the kernel tells the proxy’s connections from others, and a flush does not silence it',
  async (t) => {
    const flows = await watchProxyFlows(userNamed('agent-anchor-proxy'))
    t.teardown(() => flows.stop())
    await lab.run('root', ['nft', 'flush', 'ruleset'])
    for (const user of ['agent1', 'agent-anchor-proxy']) {
      await lab.run(user, curlCommand(models, ['-4']), { cwd: '/' })
      const { remoteAddress, remotePort, localAddress, port } = (await lab.wireLog()).at(-1)!
      const key = flowKey(
        'tcp',
        { address: remoteAddress, port: remotePort },
        { address: localAddress, port },
      )
      t.equal((await flows.flows()).has(key), user === 'agent-anchor-proxy', user)
    }
  },
)
