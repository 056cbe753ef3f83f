import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { counterRecords } from '../../daemon/supervisor/counter-records.ts'

const packets = (counts: Record<string, number>) =>
  Object.fromEntries(Object.entries(counts).map(([name, n]) => [name, { packets: n, bytes: n * 60 }]))

function rig(counts: Record<string, number>) {
  const told: [string, Record<string, number>][] = []
  const errors: string[] = []
  const state = { counts, drops: 0, unread: 0, fails: false }
  const records = counterRecords({
    read: async () => {
      if (state.fails) throw new Error('nft: no')
      return packets(state.counts)
    },
    sensorDrops: () => state.drops,
    sensorUnread: () => state.unread,
    audit: (event, detail) => told.push([event, detail]),
    log: { info: () => {}, error: (text: string) => errors.push(text) } as never,
    everyMs: 20,
  })
  return { records, told, errors, state }
}

t.test('totals are told when they move, and only then; captured connections are not refusals', async (t) => {
  const { records, told, state } = rig({ redirected: 7, quic: 0 })
  await sleep(60)
  t.same(told, [], 'nothing was refused')
  state.counts = { redirected: 9, quic: 3, udp: 1 }
  await sleep(60)
  t.same(told, [['kernel-counters', { quic: 3, udp: 1 }]])
  state.counts = { redirected: 90, quic: 3, udp: 1 }
  await sleep(60)
  t.equal(told.length, 1)
  state.drops = 2
  state.unread = 5
  await records.stop()
  const last = { quic: 3, udp: 1, sensor_drops: 2, sensor_unread: 5 }
  t.same(told[1], ['kernel-counters', last], 'the last look is at the end')
})

t.test('a look that fails is logged, and the next one tells', async (t) => {
  const { records, told, errors, state } = rig({ tcp: 1 })
  state.fails = true
  await sleep(50)
  t.match(errors[0], /nft: no/)
  state.fails = false
  await records.stop()
  t.same(told, [['kernel-counters', { tcp: 1 }]])
})
