/** `verify --receipt` as somebody runs it who has the program and nothing else. */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { formatReceipt, type Receipt } from '../../daemon/receipt/receipt.ts'
import { compiledCode } from '../lab/compiled.ts'
import {
  anchorsOf,
  cosigned,
  EXCHANGE,
  makeLog,
  newKey,
  oldKey,
  receiptOf,
  withBodies,
  witnesses,
} from './receipt-fixture.ts'

const dir = t.testdir()
const at = (name: string) => join(dir, name)
mkdirSync(at('log'))
const reader = await makeLog(at('log'))
const receipt = cosigned(
  withBodies(receiptOf(reader, [EXCHANGE], anchorsOf('rpc', reader))),
  witnesses.slice(0, 2),
)

function written(name: string, what: Receipt): string {
  writeFileSync(at(name), formatReceipt(what))
  return at(name)
}
const good = written('good.json', receipt)
writeFileSync(at('log.vkey'), `${oldKey.verifierKey}\n`)
writeFileSync(at('witnesses'), `${witnesses.map(({ verifierKey }) => verifierKey).join('\n')}\n\n`)

interface Answer {
  readonly code: number
  readonly stdout: string
}

const main = join(import.meta.dirname, '../../cli/main.ts')
const verify = (...args: string[]): Promise<Answer> =>
  new Promise((resolve) => {
    const whole = ['--disable-warning=ExperimentalWarning', main, 'verify', '--offline', '--receipt', ...args]
    execFile(process.execPath, whole, { env: compiledCode }, (error, stdout) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout }),
    )
  })

t.test('a receipt of the log that is expected exits with 0', async (t) => {
  for (const key of [oldKey.verifierKey, at('log.vkey')]) {
    const { code, stdout } = await verify(good, '--key', key)
    t.equal(code, 0)
    t.match(stdout, /^proved +signature +by the key .*, which you expect$/m)
    t.match(stdout, /^proved +body response\.body +56 bytes match the salted digest in the record$/m)
    t.match(stdout, /^not checked +anchor test +no chain was asked/m)
    t.match(stdout, /\n\nverified, 2 claim\(s\) not checked\n$/)
  }
})

t.test('one under no key but its own exits with 4, one of another log or changed with 1', async (t) => {
  const own = await verify(good)
  t.equal(own.code, 4)
  t.match(own.stdout, /NOT CONFIRMED/)
  t.equal((await verify(good, '--key', newKey.verifierKey)).code, 1)
  const changed = written('changed.json', { ...receipt, proof: receipt.proof.replace('index 2', 'index 3') })
  const { code, stdout } = await verify(changed, '--key', at('log.vkey'), '--json')
  t.equal(code, 1)
  t.match(JSON.parse(stdout), { schemaVersion: 1, verified: false, verdict: 'failed' })
})

t.test('witnesses are named by the verifier, and so is how many must have signed', async (t) => {
  const known = [good, '--key', at('log.vkey'), '--witness', at('witnesses')]
  const two = await verify(...known, '--quorum', '2')
  t.equal(two.code, 0)
  t.match(two.stdout, /^proved +witnesses +cosigned by 2 of the 3 witnesses that you trust/m)
  t.equal((await verify(...known)).code, 1, 'all by default')
  t.equal((await verify(good, '--key', at('log.vkey'), '--witness', witnesses[0]!.verifierKey)).code, 0)
  t.equal((await verify(...known, '--quorum', '0')).code, 2)
})

t.test('nothing in a receipt reaches the terminal but as text', async (t) => {
  const [anchor] = receipt.anchors
  const evil = written('evil.json', {
    ...receipt,
    anchors: [{ ...anchor!, label: '\u001b[2J\u202eevil\nproved  key' }],
  })
  for (const more of [[], ['--json']]) {
    const { stdout } = await verify(evil, '--key', at('log.vkey'), ...more)
    t.notMatch(stdout, /[\u001b\u202e]|^proved {2}key/m)
    t.match(stdout, /evil/)
  }
})
