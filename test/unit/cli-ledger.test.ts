/** `agent-anchor ledger fsck` on logs with real damage, as a process and in this one. */
import { execFile } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fsck } from '../../cli/ledger/fsck.ts'
import { compiledCode } from '../lab/compiled.ts'
import { flip, grow, open, signer, temporaryDirectory } from './ledger-fixture.ts'

t.setTimeout(90_000)
const main = join(import.meta.dirname, '../../cli/main.ts')

function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const argv = ['--disable-warning=ExperimentalWarning', main, ...args]
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      argv,
      { env: { ...compiledCode, LANG: 'C.UTF-8' } },
      (_, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

t.test('says what is damaged and who can put it right, and puts right what can be', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 300)
  const about = ['ledger', 'fsck', '--dir', dir, '--key', signer.verifierKey]
  const whole = await run(...about)
  t.match(whole, { code: 0, stdout: /^whole {4}every byte of 300 leaves in / })
  t.equal(whole.stderr, '', 'nothing about what is done at once')
  t.match(await run('--json', ...about, '--from', '256'), {
    code: 0,
    stdout: /"damages":\[\],"leaves":"300","whole":true/,
  })

  const running = await open(dir)
  t.equal((await run(...about)).code, 0, 'beside a daemon')
  t.match(await run(...about, '--repair'), { code: 1, stderr: /another process writes the log/ })
  await running.close()

  flip(join(dir, 'tile/0/000'), 33)
  rmSync(join(dir, 'state.json'))
  const damaged = await run(...about)
  t.match(damaged, { code: 1, stdout: /damaged {2}tile\/0\/000 at byte 32: hash 1 is not/ })
  t.match(damaged.stdout, /damaged {2}state\.json: it is missing\n/)
  t.match(damaged.stdout, /--repair \(state\.json, tile\/0\/000\)/)
  t.match(JSON.parse((await run('--json', ...about)).stdout), {
    whole: false,
    damages: [
      { file: 'state.json', remedy: 'repair' },
      { file: 'tile/0/000', offset: 32, remedy: 'repair' },
    ],
  })
  const key = join(temporaryDirectory(t), 'log.vkey')
  writeFileSync(key, `${signer.verifierKey}\n`)
  const repaired = await run('ledger', 'fsck', '--dir', dir, '--key', key, '--repair')
  t.match(repaired, { code: 0, stdout: /written {2}tile\/0\/000\nwritten {2}state\.json\nwhole / })

  flip(join(dir, 'tile/entries/000'), 33)
  t.match(await run(...about, '--repair'), {
    code: 1,
    stderr: /tile\/entries\/000 .*\n.*from a copy/,
  })
  flip(join(dir, 'checkpoint'), 3)
  t.match(await run(...about), {
    code: 1,
    stdout: /damaged {2}checkpoint: .*\n(.*\n)*Restore these from a copy.*\(checkpoint\)/,
  })
  t.match(await run('ledger', 'fsck', '--dir', dir), { code: 1, stderr: /--key VKEY/ })
  t.match(await run(...about, '--from', 'x'), { code: 2 })
})

t.test('Ctrl-C ends it at once, and says where to go on', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 1500)
  const log = { dir, verifierKey: signer.verifierKey }
  const listeners = process.listenerCount('SIGINT')
  let told = 0
  const at = () => {
    if (++told === 2) process.emit('SIGINT', 'SIGINT')
  }
  const { interruptedAt, damages } = await fsck(log, 0n, { part: () => {}, at, clear: () => {} })
  t.ok(interruptedAt !== undefined && interruptedAt >= 512n && interruptedAt < 1500n, `at ${interruptedAt}`)
  t.same(damages, [])
  t.equal(process.listenerCount('SIGINT'), listeners)

  const undo = flip(join(dir, 'tile/entries/000'), 40)
  const quiet = { part: () => {}, at: () => {}, clear: () => {} }
  t.same((await fsck(log, interruptedAt!, quiet)).damages, [], 'what was checked before is not read again')
  undo()
  flip(join(dir, 'tile/entries/005.p/220'), 40)
  t.match((await fsck(log, interruptedAt!, quiet)).damages, [{ file: 'tile/entries/005.p/220' }])
})
