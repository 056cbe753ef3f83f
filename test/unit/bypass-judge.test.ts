import t from 'tap'
import { flowKey } from '../lab/proxy-flows.ts'
import type { WireConnection } from '../lab/wire-log.ts'
import { judge, type Sight } from '../system/bypass/judge.ts'

const provider = '203.0.113.10'
const watched = new Set([provider])

function connection(number: number, change: Partial<WireConnection> = {}): WireConnection {
  return {
    connection: number,
    at: 0,
    site: 'api.openai.com',
    port: 443,
    protocol: 'tls',
    localAddress: provider,
    remoteAddress: '198.51.100.2',
    remotePort: 40000 + number,
    exchanges: [],
    received: Buffer.alloc(0),
    errors: [],
    ...change,
  }
}

const asked = (target: string): WireConnection['exchanges'][number] => ({
  at: 0,
  method: 'GET',
  target,
  head: Buffer.alloc(0),
  body: Buffer.alloc(0),
  response: Buffer.alloc(0),
  complete: true,
})

const ofProxy = (number: number) =>
  flowKey('tcp', { address: '198.51.100.2', port: 40000 + number }, { address: provider, port: 443 })
const syn = (sourcePort: number) => ({
  at: 0,
  family: 4 as const,
  protocol: 6,
  source: '198.51.100.2',
  destination: provider,
  sourcePort,
  destinationPort: 443,
  head: '',
})
const nothing: Sight = { connections: [], packets: [], proxyFlows: new Set() }
const sight = (seen: Partial<Sight>): Sight => ({ ...nothing, ...seen })

t.test('the proxy’s connections are no intruders, and its requests are told', async (t) => {
  const after = sight({
    connections: [connection(1, { exchanges: [asked('/v1/models')] })],
    packets: [syn(40001)],
    proxyFlows: new Set([ofProxy(1)]),
  })
  t.match(judge(nothing, after, watched), { intruders: [], requests: ['api.openai.com GET /v1/models'] })
})

t.test('anybody else’s connection, packet or datagram is an intruder', async (t) => {
  const after = (seen: Partial<Sight>) =>
    judge(nothing, sight({ ...seen, proxyFlows: new Set([ofProxy(1)]) }), watched)
  t.equal(after({ connections: [connection(2)] }).intruders.length, 1)
  t.equal(after({ packets: [syn(40002)] }).intruders.length, 1)
  t.equal(after({ connections: [connection(1, { protocol: 'udp' })] }).intruders.length, 1)
  t.equal(after({ packets: [{ ...syn(40001), protocol: 17 }] }).intruders.length, 1)
  t.equal(after({ packets: [{ ...syn(0), protocol: 1, icmpType: 8 }] }).intruders.length, 1)
  t.same(
    after({ packets: [{ ...syn(0), protocol: 1, icmpType: 3 }] }).intruders,
    [],
    'an error of the kernel’s',
  )
})

t.test('what is not watched is nobody’s business, but for a secret', async (t) => {
  const elsewhere = connection(3, { localAddress: '203.0.113.30', received: Buffer.from('the secret') })
  t.same(judge(nothing, sight({ connections: [elsewhere] }), watched).intruders, [])
  t.equal(judge(nothing, sight({ connections: [elsewhere] }), watched, 'secret').intruders.length, 1)
})

t.test('what was there before counts only where it grew', async (t) => {
  const old = connection(4)
  const before = sight({ connections: [old], packets: [syn(40004)] })
  t.same(judge(before, before, watched).intruders, [])
  const used = sight({ ...before, connections: [{ ...old, exchanges: [asked('/again')] }] })
  t.equal(judge(before, used, watched).intruders.length, 1)
})
