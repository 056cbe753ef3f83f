import t from 'tap'
import { UplinkPool } from '../../daemon/sensor/uplink-pool.ts'

class Capture {
  bound: number | 'parked' = 'parked'
  bind(index: number): void {
    if (index === 666) throw new Error('no such device')
    this.bound = index
  }
  park(): void {
    this.bound = 'parked'
  }
}

function rig(size: number, devices: Record<string, number>) {
  const captures = Array.from({ length: size }, () => new Capture())
  const pool = new UplinkPool<Capture>((device) => devices[device])
  for (const each of captures) pool.add(each)
  return { captures, pool, bound: () => captures.map(({ bound }) => bound) }
}

t.test('binds one capture to each uplink, and parks it when the uplink goes', async (t) => {
  const { pool, captures, bound } = rig(3, { eth0: 2, tun0: 7 })
  pool.want(['eth0', 'tun0'], 0)
  t.same(bound(), [2, 7, 'parked'])
  t.same(pool.devices, ['eth0', 'tun0'])
  t.same(
    captures.map((each) => pool.deviceOf(each)),
    ['eth0', 'tun0', undefined],
  )
  pool.want(['tun0'], 10)
  t.same(bound(), ['parked', 7, 'parked'])
  t.equal(pool.deviceOf(captures[0]!), 'eth0', 'what it caught before is still read')
  t.same(pool.inUse(500), captures.slice(0, 2))
  t.same(pool.inUse(600), [captures[1]], 'but not for ever')
  t.same(pool.blind(10_000), [])
  t.notOk(pool.short)
})

t.test('a device made anew under its old name is bound anew, one with a new name is not', async (t) => {
  const devices: Record<string, number> = { eth0: 2 }
  const { pool, captures, bound } = rig(2, devices)
  pool.want(['eth0'], 0)
  devices.eth0 = 9
  pool.look(100)
  t.same(bound(), ['parked', 9])
  delete devices.eth0
  devices.lan0 = 9
  pool.want(['lan0'], 200)
  t.same(bound(), ['parked', 9])
  t.equal(pool.deviceOf(captures[1]!), 'lan0')
})

t.test('a capture rests before frames of another device may come to it', async (t) => {
  const { pool, bound } = rig(1, { eth0: 2, eth1: 3 })
  pool.want(['eth0'], 0)
  pool.want(['eth1'], 1000)
  t.same(bound(), ['parked'])
  t.ok(pool.short)
  t.same(pool.blind(1000), [{ device: 'eth1', reason: 'no capture is left for it' }])
  pool.look(1600)
  t.same(bound(), [3])
  t.notOk(pool.short)
  t.same(pool.blind(1600), [])
})

t.test('is short where there are more uplinks than captures', async (t) => {
  const { pool } = rig(1, { eth0: 2, eth1: 3 })
  pool.want(['eth0', 'eth1'], 0)
  t.ok(pool.short)
  pool.want(['eth0'], 10)
  t.notOk(pool.short)
})

t.test(
  'a wanted device that is not there is blindness after a moment, one that is gone in between is none',
  async (t) => {
    const devices: Record<string, number> = { eth0: 2 }
    const { pool, bound } = rig(1, devices)
    pool.want(['eth0'], 0)
    delete devices.eth0
    pool.look(100)
    t.same(bound(), ['parked'])
    t.same(pool.blind(600), [], 'the supervisor may be about to say so')
    t.same(pool.blind(1200), [{ device: 'eth0', reason: 'the device is gone' }])
    pool.want([], 1300)
    t.same(pool.blind(5000), [])
  },
)

t.test('a capture that can not be bound is blindness, and tried again', async (t) => {
  const devices: Record<string, number> = { eth0: 666 }
  const { pool, bound } = rig(1, devices)
  pool.want(['eth0'], 0)
  t.same(pool.blind(0), [{ device: 'eth0', reason: 'no such device' }])
  devices.eth0 = 2
  pool.look(1000)
  t.same(bound(), [2])
  t.same(pool.blind(1000), [])
})
