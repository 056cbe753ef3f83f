import t from 'tap'
import { parsePathChanges } from '../../firewall/path-events.ts'

/** A message of NETLINK_ROUTE in the machine's order. */
function message(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(16)
  new Uint32Array(header.buffer, header.byteOffset, 1)[0] = 16 + body.length
  new Uint16Array(header.buffer, header.byteOffset + 4, 1)[0] = type
  return Buffer.concat([header, body, Buffer.alloc(-body.length & 3)])
}
const rule = (family: number) => Buffer.from([family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
const onDevice = (index: number) =>
  Buffer.concat([Buffer.alloc(4), Buffer.from(Int32Array.of(index, 0, 0, 0).buffer)])
const [NEWRULE, DELRULE, NEWQDISC, DELTFILTER, NEWLINK] = [32, 33, 36, 45, 16]

t.test('rules and traffic control are told from each other, made from removed', async (t) => {
  const datagram = Buffer.concat([
    message(NEWRULE, rule(2)),
    message(NEWLINK, onDevice(3)),
    message(DELRULE, rule(10)),
    message(NEWQDISC, onDevice(7)),
    message(DELTFILTER, onDevice(-1)),
  ])
  t.same(parsePathChanges(datagram), [
    { what: 'routing rule', made: true, device: undefined, family: 4 },
    { what: 'routing rule', made: false, device: undefined, family: 6 },
    { what: 'queueing discipline', made: true, device: 7, family: undefined },
    { what: 'traffic filter', made: false, device: -1, family: undefined },
  ])
})

t.test('what is cut short or nonsense gives what can be read, and no error', async (t) => {
  const whole = message(NEWQDISC, onDevice(7))
  for (let size = 0; size < whole.length; size++) t.same(parsePathChanges(whole.subarray(0, size)), [])
  t.match(parsePathChanges(message(NEWQDISC, Buffer.alloc(2))), [{ made: true, device: undefined }])
  t.match(parsePathChanges(message(NEWRULE, Buffer.alloc(0))), [{ made: true, family: undefined }])
  t.same(parsePathChanges(Buffer.alloc(64)), [])
})
