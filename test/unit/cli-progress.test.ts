/** How far a long task is, on a terminal and elsewhere. */
import t from 'tap'
import { progressOf, progressOn } from '../../cli/progress.ts'

t.test('shows progress as a bar on a terminal and as lines elsewhere', async (t) => {
  let shown = ''
  let now = 0
  const write = (text: string) => {
    shown += text
  }
  const bar = progressOn({ isTTY: true, columns: 60, write }, 'fsck', () => now)
  bar.at(0n, 1000n)
  bar.at(10n, 1000n)
  now = 150
  bar.at(500n, 1000n)
  bar.at(1000n, 1000n)
  bar.clear()
  const drawn = shown.split('\r\x1b[K').slice(1)
  t.same(
    drawn.map((line) => line.slice(0, 42)),
    [
      'fsck [                              ] 0 % ',
      'fsck [###############               ] 50 %',
      'fsck [##############################] 100 ',
      '',
    ],
  )
  t.ok(
    drawn.every((line) => line.length < 60),
    'no line wraps',
  )
})

t.test('elsewhere a line for each tenth and each part, once it has taken a second', async (t) => {
  let shown = ''
  let now = 0
  const write = (text: string) => {
    shown += text
  }
  const lines = progressOn({ write }, 'fsck', () => now)
  lines.part('the log')
  lines.at(100n, 1000n)
  t.equal(shown, '', 'what is done at once needs no word')
  now = 1000
  for (let i = 105n; i <= 1000n; i += 5n) lines.at(i, 1000n)
  lines.part('bodies')
  lines.at(0n, 0n)
  lines.clear()
  t.equal(shown.split('\n').length, 11, shown)
  t.match(shown, /^fsck: 20 % \(200 of 1000\)\n(.*\n){8}fsck: bodies\n$/)
})

t.test('nothing is told beside a document for a program', async (t) => {
  const written = t.capture(process.stderr, 'write')
  const progress = progressOf('fsck', { json: true })
  progress.part('x')
  progress.at(1n, 1n)
  progress.clear()
  t.same(written(), [])
})
