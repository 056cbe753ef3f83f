import { execFileSync } from 'node:child_process'
import t from 'tap'

const module = new URL('../../daemon/base/background.ts', import.meta.url).href
const script = `
  import { getPriority } from 'node:os'
  import { workInBackground } from ${JSON.stringify(module)}
  workInBackground()
  console.log(getPriority(0))
`
const nicenessAfter = (started: number) =>
  execFileSync('nice', ['-n', `${started}`, process.execPath, '--input-type=module', '--eval', script], {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  }).trim()

t.test('background work goes below the rest, and never up, which takes a privilege', async (t) => {
  t.equal(nicenessAfter(0), '10')
  t.equal(nicenessAfter(15), '15')
})
