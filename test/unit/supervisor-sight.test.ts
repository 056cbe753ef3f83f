import t from 'tap'
import type { Sighted } from '../../daemon/supervisor/address-book.ts'
import type { SensorChild, SensorOptions, SensorState } from '../../daemon/supervisor/sensor-process.ts'
import { startSight } from '../../daemon/supervisor/sight.ts'

function rig() {
  let options: SensorOptions | undefined
  const learned: Sighted[] = []
  const told: string[] = []
  const renewals: unknown[] = []
  const sent: unknown[] = []
  const child = {
    renew: async () => void renewals.push(options?.start()),
    send: (message: unknown) => sent.push(message),
    stop: async () => {},
  }
  const sight = startSight({
    begin: (given) => {
      options = given
      return child as unknown as SensorChild
    },
    account: { name: 'agent-anchor-sensor', uid: 4103, gid: 4103 },
    log: undefined as never,
    coverage: {
      lost: (cause, detail) => told.push(`lost ${cause} ${detail?.why}`),
      regained: (cause) => told.push(`regained ${cause}`),
      gap: (cause, _from, _to, detail) => told.push(`gap ${cause} ${detail?.packets}`),
    },
    start: (uplinks) => ({ uplinks }),
    uplinks: ['eth0'],
    resolvers: () => [{ address: '192.0.2.53', port: 53, local: false }],
    learned: (entries) => learned.push(...entries),
    sighting: () => {},
    strayed: () => {},
    groupOf: async () => undefined,
    stateChanged: () => {},
    changed: () => {},
    died: () => {},
  })
  const state = (change: Partial<SensorState>) =>
    options?.state({ received: 0, kernelDrops: 0, unread: 0, blind: [], ...change })
  const hear = (server: string) =>
    options?.learned({
      name: 'api.openai.com',
      entries: [{ address: '8.8.8.8', ttlSeconds: 60 }],
      server,
    })
  return { sight, learned, told, renewals, sent, state, hear, short: () => options?.short() }
}

t.test('only the answers of the machine’s own resolvers teach addresses', async (t) => {
  const { learned, hear } = rig()
  hear('203.0.113.99')
  t.same(learned, [], 'anybody may run a server that lies')
  hear('192.0.2.53')
  hear('127.0.0.53')
  const entry = { address: '8.8.8.8', ttlSeconds: 60, name: 'api.openai.com', passive: true }
  t.same(learned, [entry, entry])
})

t.test('blindness is told from its beginning to its end, losses by their number', async (t) => {
  const { sight, told, state } = rig()
  state({ blind: [{ device: 'eth0', reason: 'gone' }] })
  state({ kernelDrops: 3 })
  state({ kernelDrops: 5 })
  // A sensor that was started again counts from 0.
  state({ kernelDrops: 1 })
  t.same(told, [
    'lost sensor-blind eth0: gone',
    'gap sensor-overrun 3',
    'regained sensor-blind',
    'gap sensor-overrun 2',
    'regained sensor-blind',
    'gap sensor-overrun 1',
    'regained sensor-blind',
  ])
  t.equal(sight.drops(), 6)
  state({ unread: 4 })
  state({ unread: 1 })
  t.equal(sight.unread(), 5)
})

t.test(
  'other uplinks are told to the sensor, which is started again only where it asks for it',
  async (t) => {
    const { sight, renewals, sent, short } = rig()
    sight.uplinks(['eth0'])
    t.same(sent, [], 'the same ones are no news')
    sight.uplinks(['eth0', 'wlan0'])
    t.same(sent, [{ type: 'uplinks', uplinks: ['eth0', 'wlan0'] }])
    t.same(renewals, [])
    short()
    t.same(renewals, [{ uplinks: ['eth0', 'wlan0'] }], 'with the uplinks of now')
  },
)
