import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isRemoteAddress } from '../../daemon/supervisor/address-book.ts'
import { auditTrail } from '../../daemon/supervisor/audit-trail.ts'
import {
  processStart,
  readState,
  type SupervisorState,
  writeState,
} from '../../daemon/supervisor/state-file.ts'
import { scratch } from './scratch.ts'
import { healthySupervisor } from './status-fixture.ts'

const directory = scratch()

t.test("only addresses that a remote host can have are taken into the kernel's sets", async (t) => {
  for (const address of ['203.0.113.10', '10.1.2.3', '2001:db8::1', 'fd00::1'])
    t.ok(isRemoteAddress(address), address)
  for (const address of [
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '169.254.169.254',
    '224.0.0.1',
    '255.255.255.255',
    '::1',
    '::',
    'fe80::1',
    'fe80::1%eth0',
    'ff02::1',
    '::ffff:127.0.0.1',
    '203.0.113.10; flush ruleset',
    '203.0.113.0/24',
    '',
  ]) {
    t.notOk(isRemoteAddress(address), address)
  }
})

const state: SupervisorState = { ...healthySupervisor, pid: process.pid }

t.test('a state file counts only while the very process that wrote it lives', async (t) => {
  const file = join(directory, 'supervisor.json')
  t.equal(await readState(file), undefined)
  const pidStart = (await processStart(process.pid)) as string
  await writeState(file, { ...state, pidStart })
  t.equal((await readState(file))?.pid, process.pid)
  // The same pid with another start time: the number was used again.
  await writeState(file, { ...state, pidStart: String(Number(pidStart) + 1) })
  t.equal(await readState(file), undefined)
  writeFileSync(file, 'not json')
  t.equal(await readState(file), undefined)
})

t.test(
  'evidence waits for the recorder in order, is kept until confirmed, and an overflow is told',
  async (t) => {
    interface Sent {
      readonly id: string
      readonly type: string
      readonly event?: string
      readonly detail?: Record<string, unknown>
      readonly cause?: string
    }
    let sent: Sent[] = []
    let up = false
    const trail = auditTrail(
      (message) => {
        if (up) sent.push(message as Sent)
        return up
      },
      { mostWaiting: 3 },
    )
    for (let i = 0; i < 5; i++) trail.write(`e${i}`, { i })
    t.equal(sent.length, 0)
    up = true
    trail.flush()
    t.same(
      sent.map(({ event }) => event),
      ['e0', 'e1', 'e2'],
    )
    const ids = sent.map(({ id }) => id)
    sent = []
    trail.lost()
    trail.flush()
    t.same(
      sent.map(({ id }) => id),
      ids,
      'the same again, under the same ids',
    )
    sent = []
    trail.recorded(ids)
    t.match(sent, [{ type: 'gap', cause: 'evidence-overflow', detail: { audit: 2 } }])
  },
)
