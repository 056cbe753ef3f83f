/** `agent-anchor logs`: what is read of the daemon's files, chosen, followed, and shown. */
import { appendFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { followLog, storedLines } from '../../cli/logs/files.ts'
import { isWanted, parseSince } from '../../cli/logs/selection.ts'
import { openLog } from '../../daemon/supervisor/log.ts'
import { formatLine, parseLine } from '../../daemon/supervisor/log-line.ts'
import { scratch } from './scratch.ts'

const TIME = '2026-11-26T09:14:02.114Z'
const line = (message: string) => formatLine({ time: TIME, level: 'info', process: 'recorder', message })

async function all(lines: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = []
  for await (const one of lines) found.push(one)
  return found
}

t.test('a line is read as it was written', async (t) => {
  const said = {
    time: TIME,
    level: 'warn',
    process: 'proxy-1',
    message: 'accept: too many: open files',
  } as const
  t.same(parseLine(formatLine(said)), said)
})

t.test('what a child says can’t begin a line of its own, nor reach a terminal', async (t) => {
  const text = line(`x\n${TIME} error supervisor: all is lost\u001b[2J\u0000`)
  t.notMatch(text, /[\u0000-\u001f]/)
  t.match(parseLine(text), { process: 'recorder', level: 'info' })
})

t.test('a line has an end, however long what is said', async (t) => {
  t.ok(line('x'.repeat(1_000_000)).length < 10_000)
})

t.test('what the daemon did not write so is none of its lines', async (t) => {
  for (const text of [
    '',
    'Segmentation fault',
    `${TIME} fatal recorder: x`,
    `${TIME} info ../x: y`,
    `x${line('')}`,
  ])
    t.equal(parseLine(text), undefined, text)
})

t.test('the daemon’s own log is read back, with the process that said it', async (t) => {
  const at = scratch()
  const log = openLog(at)
  log.info('one')
  log.error('two', { child: 'sensor' })
  await new Promise((resolve) => log.on('finish', resolve).end())
  const read = async () => (await all(storedLines(at))).map(parseLine)
  while ((await read()).length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  t.match(await read(), [
    { level: 'info', process: 'supervisor', message: 'one' },
    { level: 'error', process: 'sensor', message: 'two' },
  ])
})

t.test('rotated files come oldest first, and one that is missing is no error', async (t) => {
  const at = scratch()
  writeFileSync(join(at, 'agent-anchor3.log'), 'a\nb\n')
  writeFileSync(join(at, 'agent-anchor1.log'), 'c\n')
  writeFileSync(join(at, 'agent-anchor.log'), 'd\nunfinished')
  t.same(await all(storedLines(at)), ['a', 'b', 'c', 'd', 'unfinished'])
  t.same(await all(storedLines(at, 2)), ['a', 'b', 'c', 'd'], 'up to a byte of the newest')
  t.same(await all(storedLines(at, 0)), ['a', 'b', 'c'])
})

t.test('without a log it says that there is none', async (t) => {
  await t.rejects(all(storedLines(scratch())), { code: 'ENOENT' })
  await t.rejects(followLog(scratch()), { code: 'ENOENT' })
})

t.test('followed, it gives what is written, once it is a line, and goes on in the next file', async (t) => {
  const at = scratch()
  const file = join(at, 'agent-anchor.log')
  writeFileSync(file, 'before\n')
  const enough = new AbortController()
  const following = await followLog(at)
  t.equal(following.from, 'before\n'.length)
  const lines = following.lines(enough.signal)
  const next = async () => (await lines.next()).value
  appendFileSync(file, 'one\ntwo, ')
  t.equal(await next(), 'one')
  appendFileSync(file, 'whole\nlast\n')
  renameSync(file, join(at, 'agent-anchor1.log'))
  writeFileSync(file, 'new\n')
  t.equal(await next(), 'two, whole')
  t.equal(await next(), 'last')
  t.equal(await next(), 'new')
  const over = lines.next()
  enough.abort()
  t.equal((await over).done, true)
})

t.test('chosen by time, level and process', async (t) => {
  const said = parseLine(line('x'))
  const at = Date.parse(TIME)
  t.ok(isWanted(said, {}))
  t.ok(isWanted(said, { since: at, level: 'info', process: 'recorder' }))
  t.notOk(isWanted(said, { since: at + 1 }))
  t.notOk(isWanted(said, { level: 'warn' }))
  t.notOk(isWanted(said, { process: 'sensor' }))
  t.ok(isWanted({ ...said!, level: 'error' }, { level: 'warn' }), 'graver ones too')
  t.ok(isWanted(undefined, {}), 'a line of nobody’s, where nothing is asked')
  for (const wanted of [{ since: 0 }, { level: 'info' as const }, { process: 'recorder' }])
    t.notOk(isWanted(undefined, wanted))
})

t.test('a beginning is a span or a time', async (t) => {
  const now = Date.parse('2026-11-26T12:00:00Z')
  t.equal(parseSince('90s', now), now - 90_000)
  t.equal(parseSince('10m', now), now - 600_000)
  t.equal(parseSince('2h', now), now - 7_200_000)
  t.equal(parseSince('1d', now), now - 86_400_000)
  t.equal(parseSince('2026-11-26T09:00:00Z', now), now - 3 * 3_600_000)
  t.equal(parseSince('2026-11-26', now), now - 12 * 3_600_000)
  for (const text of ['', 'soon', '10', '2026-13-40', '1e3m', '-5m'])
    t.equal(parseSince(text, now), undefined, text)
})
