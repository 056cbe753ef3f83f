/** Who may send past the rules by a driver's queue, as it is told. test/system/firewall/frames.ts has the kernel. */
import t, { type Test } from 'tap'
import { driverQueues } from '../../daemon/supervisor/enforcement/driver-queues.ts'
import type { Log } from '../../daemon/supervisor/log.ts'
import type { OpenQueue } from '../../firewall/xdp-queues.ts'

function rig(t: Test) {
  const kernel = { open: [] as OpenQueue[], gone: false }
  const told: unknown[][] = []
  const log: string[] = []
  const it = driverQueues({
    queues: {
      hold() {
        if (kernel.gone) throw new Error('no memory')
        return kernel.open
      },
      devices: () => [],
      close: () => void told.push(['closed']),
    },
    log: { error: (text: string) => void log.push(text) } as unknown as Log,
    audit: (event, detail) => void told.push([event, detail]),
    gap: (cause, from, to, detail) => void told.push([cause, from <= to, detail]),
    changed: () => void told.push(['changed']),
  })
  t.teardown(() => it.stop())
  return { it, kernel, told, log }
}
const taken = (device: string, queue: number): OpenQueue => ({ device, queue, why: 'taken' })

t.test('a queue that is free again a moment later is no news', async (t) => {
  const { it, kernel, told } = rig(t)
  kernel.open = [taken('eth0', 0)]
  it.hold(['eth0'])
  kernel.open = []
  it.hold(['eth0'])
  kernel.open = [taken('eth0', 0)]
  it.hold(['eth0'])
  t.same(told, [])
  t.same(it.open(), [])
})

t.test('queues of others are told once, with their devices, and as a gap when they are had', async (t) => {
  const { it, kernel, told, log } = rig(t)
  kernel.open = [taken('eth0', 0), taken('eth0', 3), { device: 'eth1', queue: 2, why: 'ENOBUFS' }]
  for (let i = 0; i < 4; i++) it.hold(['eth0', 'eth1'])
  const first = 'eth0: another program holds queues 0, 3'
  const second = 'eth1: the kernel refuses queue 2 and later ones (ENOBUFS)'
  t.same(told, [['coverage-lost', { cause: 'driver-queues', why: `${first}; ${second}` }], ['changed']])
  t.match(it.open(), [{ device: 'eth0' }, { device: 'eth1' }])
  t.equal(log.length, 1)
  kernel.open = kernel.open.slice(0, 2)
  it.hold(['eth0', 'eth1'])
  t.same(told.slice(2), [
    ['driver-queues', true, { why: `${first}; ${second}` }],
    ['coverage-lost', { cause: 'driver-queues', why: first }],
    ['changed'],
  ])
  kernel.open = []
  it.hold(['eth0', 'eth1'])
  t.same(told.slice(5), [['driver-queues', true, { why: first }], ['changed']])
  t.same(it.open(), [])
})

t.test('what fails is told of every device, and nothing is thrown; a stop ends the gap', async (t) => {
  const { it, kernel, told } = rig(t)
  kernel.gone = true
  it.hold(['eth0'])
  it.hold(['eth0'])
  t.same(it.open(), [{ device: 'eth0', reason: 'no memory' }])
  it.stop()
  t.match(told.slice(2), [['closed'], ['driver-queues', true, { why: 'eth0: no memory' }]])
})
