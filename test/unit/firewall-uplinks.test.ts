import t from 'tap'
import { type Device, formatLinkDump, parseLinkAnswer } from '../../firewall/link-dump.ts'
import { uplinksOf, watchUplinks } from '../../firewall/uplinks.ts'

let index = 0
const device = (name: string, more: Partial<Device> = {}): Device => ({
  index: ++index,
  name,
  kind: undefined,
  up: true,
  loopback: false,
  master: undefined,
  ...more,
})

t.test('whatever carries packets out is an uplink', async (t) => {
  const bond = device('bond0', { kind: 'bond' })
  t.same(
    uplinksOf(
      [
        device('lo', { loopback: true }),
        device('wlan0'),
        device('eth0', { master: bond.index }),
        bond,
        device('eth1', { up: false }),
        device('wg0', { kind: 'wireguard' }),
        device('macvlan0', { kind: 'macvlan' }),
        device('veth-out', { kind: 'veth' }),
      ],
      ['docker0'],
    ),
    ['bond0', 'eth0', 'macvlan0', 'veth-out', 'wg0', 'wlan0'],
  )
})

t.test(
  'bridges of containers and the containers’ legs are none, the hardware on a bridge is one',
  async (t) => {
    const docker = device('docker0', { kind: 'bridge' })
    const compose = device('br-1234', { kind: 'bridge' })
    const lan = device('br0', { kind: 'bridge' })
    t.same(
      uplinksOf(
        [
          docker,
          compose,
          lan,
          device('veth1', { kind: 'veth', master: docker.index }),
          device('veth2', { kind: 'veth', master: compose.index }),
          device('tap0', { kind: 'tun', master: compose.index }),
          device('eth0', { master: lan.index }),
          device('eth1', { master: docker.index }),
          device('veth3', { kind: 'veth', master: lan.index }),
        ],
        ['docker0', 'br-*'],
      ),
      ['br0', 'eth0', 'eth1', 'veth3'],
    )
  },
)

t.test('where there are too many, hardware comes first', async (t) => {
  const veths = Array.from({ length: 300 }, (_, i) => device(`a${i}`, { kind: 'veth' }))
  const names = uplinksOf([...veths, device('eth0')], [])
  t.equal(names.length, 200)
  t.ok(names.includes('eth0'))
})

/** Netlink is native-endian, and so are typed arrays. */
const u16 = (value: number) => Buffer.from(Uint16Array.of(value).buffer)
const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer)
const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
const attribute = (type: number, value: Buffer) =>
  padded(Buffer.concat([u16(value.length + 4), u16(type), value]))
const message = (type: number, sequence: number, body: Buffer, flags = 2) =>
  padded(Buffer.concat([u32(body.length + 16), u16(type), u16(flags), u32(sequence), u32(0), body]))
const link = (index: number, flags: number, ...attributes: Buffer[]) =>
  Buffer.concat([Buffer.alloc(4), u32(index), u32(flags), u32(0), ...attributes])
const named = (name: string) => attribute(3, Buffer.from(`${name}\0`))
const VETH = attribute(
  18,
  Buffer.concat([attribute(1, Buffer.from('veth\0')), attribute(2, Buffer.alloc(7))]),
)

t.test('a dump is read: names, kinds, masters and flags', async (t) => {
  const datagram = Buffer.concat([
    message(16, 9, link(1, 0x49, named('lo'))),
    message(16, 8, link(7, 1, named('of-another-question'))),
    message(16, 9, link(2, 0x1043, named('vé'), VETH, attribute(10, u32(5)), attribute(99, Buffer.alloc(3)))),
    message(3, 9, u32(0)),
  ])
  t.match(parseLinkAnswer(datagram, 9), {
    done: true,
    interrupted: false,
    errno: undefined,
    devices: [
      { index: 1, name: 'lo', up: true, loopback: true, kind: undefined, master: undefined },
      { index: 2, up: true, loopback: false, kind: 'veth', master: 5 },
    ],
  })
  t.equal(parseLinkAnswer(message(16, 9, link(1, 0, named('a')), 0x12), 9).interrupted, true)
  t.equal(parseLinkAnswer(message(2, 9, u32(-1 >>> 0)), 9).errno, 1)
})

t.test('no cut of a datagram is an error', async (t) => {
  const datagram = Buffer.concat([message(16, 9, link(2, 1, named('eth0'), VETH)), message(3, 9, u32(0))])
  for (let length = 0; length < datagram.length; length++)
    t.doesNotThrow(() => parseLinkAnswer(Buffer.from(datagram.subarray(0, length)), 9))
  for (let at = 0; at < datagram.length; at++) {
    const broken = Buffer.from(datagram)
    broken[at] = 0xff
    t.doesNotThrow(() => parseLinkAnswer(broken, 9))
  }
})

t.test('the question is one that the kernel understands', async (t) => {
  const question = formatLinkDump(5)
  t.equal(question.length, 40)
  // Needs no privilege, and only reads.
  const failures: unknown[] = []
  const watch = watchUplinks({ bridges: [], changed: () => {}, failed: (error) => failures.push(error) })
  t.notOk(watch.names.includes('lo'))
  watch.look()
  watch.stop()
  watch.look()
  watch.stop()
  t.same(failures, [])
})
