import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { compileInBackground } from '../../daemon/base/background.ts'

const module = new URL('../../daemon/base/background.ts', import.meta.url).href
const script = `
  import { readdirSync, readFileSync } from 'node:fs'
  import { getPriority } from 'node:os'
  import { compileInBackground, workInBackground } from ${JSON.stringify(module)}
  compileInBackground()
  workInBackground()
  const tasks = '/proc/self/task/'
  const compiles = (task) => readFileSync(tasks + task + '/comm', 'utf8').trim() === 'V8Worker'
  const compiling = readdirSync(tasks).filter(compiles).map((task) => getPriority(Number(task)))
  console.log(getPriority(0), ...new Set(compiling))
`
const nicenessAfter = (started: number) =>
  execFileSync('nice', ['-n', `${started}`, process.execPath, '--input-type=module', '--eval', script], {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  }).trim()

t.test('background work goes below the rest, and never up, which takes a privilege', async (t) => {
  t.equal(nicenessAfter(0), '10 10')
  t.equal(nicenessAfter(15), '15 15')
})

/** Of this process, with their niceness (proc(5), field 19 of stat). */
const threads = () =>
  readdirSync('/proc/self/task').map((thread) => {
    const [, name, rest] = /\((.*)\) (.*)/.exec(readFileSync(`/proc/self/task/${thread}/stat`, 'utf8'))!
    return { name, nice: Number(rest!.split(' ')[16]) }
  })

t.test("V8's own threads are lowered, and no other", async (t) => {
  const others = () => threads().filter(({ name }) => name !== 'V8Worker')
  const before = others()
  compileInBackground()
  const compiling = threads().filter(({ name }) => name === 'V8Worker')
  t.ok(compiling.length > 0, 'they are called so')
  for (const { nice } of compiling) t.equal(nice, 10)
  t.same(others(), before)
})
