/** The log's lines in systemd's journal, by its native protocol. */
import { fstatSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { journalEntry, journalStream, stderrIsJournal } from '../../daemon/supervisor/journal.ts'
import { AF_UNIX, libc, SOCK_CLOEXEC, SOCK_DGRAM } from '../../firewall/libc.ts'
import { scratch } from './scratch.ts'

const MSG_DONTWAIT = 0x40
const LINE = {
  time: '2026-11-26T09:14:02.114Z',
  level: 'warn',
  process: 'recorder',
  message: 'slow disk',
} as const

t.test('a line arrives as one entry, with its priority and its process', async (t) => {
  const directory = scratch()
  const socket = join(directory, 'socket')
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  t.teardown(() => libc.close(fd))
  const address = Buffer.concat([Buffer.from(Uint16Array.of(AF_UNIX).buffer), Buffer.from(`${socket}\0`)])
  t.equal(libc.bind(fd, address, address.length), 0)
  const journal = journalStream(socket)
  await new Promise((resolve) => journal.write({ line: LINE }, resolve))
  const bytes = Buffer.alloc(4096)
  const text = bytes.toString('utf8', 0, libc.recv(fd, bytes, bytes.length, MSG_DONTWAIT))
  t.same(text.split('\n'), [
    'MESSAGE=recorder: slow disk',
    'PRIORITY=4',
    'SYSLOG_FACILITY=3',
    'SYSLOG_IDENTIFIER=agent-anchor',
    'AGENT_ANCHOR_PROCESS=recorder',
    '',
  ])
})

t.test('a message can’t add a field', async (t) => {
  const entry = journalEntry({ ...LINE, message: 'x\nPRIORITY=0\nMESSAGE\n\u0001' }).toString()
  t.equal(entry.split('\n').filter((field) => field.startsWith('PRIORITY=')).length, 1)
  t.equal(entry.split('\n').length, 6)
})

t.test('the journal has its fields only where stderr goes to it', async (t) => {
  const { dev, ino } = fstatSync(2, { bigint: true })
  t.ok(stderrIsJournal(`${dev}:${ino}`))
  for (const other of [undefined, '', 'x', `${dev}:${ino + 1n}`, `${dev + 1n}:${ino}`])
    t.notOk(stderrIsJournal(other), other ?? 'no variable')
})
