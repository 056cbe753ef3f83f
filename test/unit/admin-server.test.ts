import { randomUUIDv7 } from 'node:crypto'
import { statSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import t from 'tap'
import { type Erase, startAdminServer } from '../../daemon/admin/admin-server.ts'
import { temporaryDirectory } from './recorder-fixtures.ts'

const asked: Parameters<Erase>[] = []
const socketPath = path.join(temporaryDirectory(), 'admin.sock')
const erase: Erase = (ids, by, answered) => {
  asked.push([ids, by, answered])
  answered({ type: 'erasing', progress: { done: 0, of: 1 } })
  answered({ type: 'erased', result: { erased: [...ids], skipped: [] } })
}
const own = process.getuid?.() ?? 0
const server = await startAdminServer(socketPath, erase, own)
t.teardown(() => server.close())

/** All that is answered to these bytes, until the connection ends. */
const ask = (...pieces: string[]) => askAt(socketPath, ...pieces)

function askAt(at: string, ...pieces: string[]): Promise<unknown[]> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(at, () => {
      for (const piece of pieces) socket.write(piece)
    })
    socket.setEncoding('utf8').on('data', (piece) => {
      text += piece
    })
    socket.on('error', () => {})
    socket.on('close', () =>
      resolve(
        text
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line)),
      ),
    )
  })
}

t.test('an erasure is asked for in a line, and its steps and end are answered in lines', async (t) => {
  const ids = [randomUUIDv7(), randomUUIDv7()]
  const line = JSON.stringify({ command: 'erase', ids })
  t.same(await ask(line.slice(0, 20), line.slice(20), '\n'), [
    { type: 'erasing', progress: { done: 0, of: 1 } },
    { type: 'erased', result: { erased: ids, skipped: [] } },
  ])
  const [got, by] = asked.at(-1)!
  t.same(got, ids)
  t.equal(by.uid, process.getuid?.(), 'who asked is known from the kernel')
})

t.test('what is no request is refused with what to do, and nothing is erased', async (t) => {
  const before = asked.length
  const id = randomUUIDv7()
  const requests = [
    'erase',
    '{}',
    '[]',
    'null',
    JSON.stringify({ command: 'erase', ids: [] }),
    JSON.stringify({ command: 'erase', ids: ['../../etc/passwd'] }),
    JSON.stringify({ command: 'erase', ids: [id], uid: 0 }),
    JSON.stringify({ command: 'stop', ids: [id] }),
    JSON.stringify({ command: 'erase', ids: Array.from({ length: 1001 }, () => id) }),
  ]
  for (const request of requests) {
    t.match(
      await ask(`${request}\n`),
      [{ type: 'erase-failed', error: { code: 'MALFORMED', remedy: /records erase/ } }],
      request,
    )
  }
  t.match(await ask('x'.repeat(100_000)), [{ type: 'erase-failed', error: { message: /too long/ } }])
  t.equal(asked.length, before)
})

t.test('nobody but its owner may connect', async (t) => {
  t.equal(statSync(socketPath).mode & 0o777, 0o600)
})

t.test('whoever isn’t the administrator is told so, and nothing is erased', async (t) => {
  const before = asked.length
  const other = path.join(temporaryDirectory(), 'admin.sock')
  const listening = await startAdminServer(other, erase, own + 1)
  t.teardown(() => listening.close())
  const line = `${JSON.stringify({ command: 'erase', ids: [randomUUIDv7()] })}\n`
  t.match(await askAt(other, line), [{ type: 'erase-failed', error: { message: /root only/ } }])
  t.equal(asked.length, before)
})
