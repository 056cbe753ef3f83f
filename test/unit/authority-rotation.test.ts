/** The CA's rotation: who signs and what is published at each step, and after a crash at any instant. */
import { spawnSync } from 'node:child_process'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { permittedDomainsOf } from '../../ca/authority-certificate.ts'
import { certificateBlocks } from '../../ca/system-roots.ts'
import { checkAuthority } from '../../daemon/supervisor/authority/check.ts'
import { readSteps } from '../../daemon/supervisor/authority/history.ts'
import { fingerprintOf, isSignedByBoth } from '../../daemon/supervisor/authority/note.ts'
import { stepRecorded } from '../../daemon/supervisor/authority/rotation.ts'
import type { Authorities, AuthorityPlace } from '../../daemon/supervisor/authority/store.ts'
import { leafService } from '../../daemon/supervisor/leaf-service.ts'
import { compiledCode } from '../lab/compiled.ts'
import { begin, caIn, domains, openCa, step, TURNS } from './authority-fixture.ts'
import { origin } from './vault-fixture.ts'

t.setTimeout(240_000)
const idsOf = ({ inOrder }: Authorities) => inOrder.map(({ certificatePem }) => fingerprintOf(certificatePem))
const published = (place: AuthorityPlace) =>
  [...certificateBlocks(readFileSync(place.certificateFile, 'utf8'))].map(fingerprintOf)
const stepsOf = async (place: AuthorityPlace) => (await readSteps(place.dir)).map((each) => each.step)
const spki = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey.export({
  type: 'spki',
  format: 'der',
})
/** Fingerprint of the CA that signs for a name now. */
async function signerOf({ inOrder }: Authorities, name = 'api.llm.example'): Promise<string> {
  const [, root] = [...certificateBlocks(await leafService(inOrder)(name, spki))]
  return fingerprintOf(root ?? '')
}

t.test(
  'the successor is published behind the CA that signs, then signs before it, then is alone',
  async (t) => {
    const place = await caIn(t.testdir())
    const [from = ''] = idsOf(await openCa(place))
    const introduced = await begin(place)
    const to = idsOf(introduced)[1] ?? ''
    t.not(to, from)
    for (const [next, order, signer] of [
      [undefined, [from, to], from],
      ['distributed', [from, to], from],
      ['signing', [to, from], to],
      ['finished', [to], to],
    ] as const) {
      const taken = next === undefined ? introduced : await step(place, next)
      t.same(idsOf(taken), order)
      t.same(published(place), order, 'the one that signs is first: some read only that')
      t.equal(await signerOf(taken), signer)
      t.same(idsOf(await openCa(place)), order, 'another start finds the same')
    }
    t.notOk(existsSync(join(place.dir, 'ca.next.sealed')))
    const steps = await readSteps(place.dir)
    t.same(
      steps.map((each) => [each.step, each.from, each.to]),
      ['introduced', 'distributed', 'signing', 'finished'].map((each) => [each, from, to]),
    )
  },
)

t.test('each step is signed by both keys, and by no others', async (t) => {
  const place = await caIn(t.testdir())
  await openCa(place)
  await begin(place)
  const { rotation } = await step(place, 'distributed', 'signing')
  const certificates = {
    from: rotation?.from.certificatePem ?? '',
    to: rotation?.to.certificatePem ?? '',
  }
  const steps = await readSteps(place.dir)
  t.equal(steps.length, 3)
  for (const taken of steps) {
    t.ok(isSignedByBoth(taken, origin, certificates))
    t.notOk(isSignedByBoth(taken, 'another.example/log', certificates))
    t.notOk(isSignedByBoth(taken, origin, { from: certificates.to, to: certificates.from }))
    t.notOk(isSignedByBoth({ ...taken, step: 'aborted' }, origin, certificates))
    t.notOk(isSignedByBoth({ ...taken, note: taken.note.replace(/(— .{70})/, '$1A') }, origin, certificates))
  }
})

t.test('it can be taken back at every step, and begun again', async (t) => {
  for (const steps of [[], ['distributed'], ['distributed', 'signing']] as const) {
    const place = await caIn(join(t.testdir(), String(steps.length)))
    const before = idsOf(await openCa(place))
    await begin(place)
    await step(place, ...steps)
    const after = await step(place, 'aborted')
    t.same(idsOf(after), before)
    t.same(published(place), before)
    t.notOk(existsSync(join(place.dir, 'ca.next.sealed')), "the successor's key is destroyed")
    t.equal(idsOf(await begin(place)).length, 2)
  }
})

t.test('steps out of turn are refused with the command that comes first', async (t) => {
  const place = await caIn(t.testdir())
  await openCa(place)
  await t.rejects(step(place, 'signing'), { code: 'NO_ROTATION', remedy: /trust rotate/ })
  await begin(place)
  await t.rejects(step(place, 'signing'), { code: 'ROTATION_STEP', remedy: /trust rotate/ })
  await step(place, 'distributed')
  await t.rejects(step(place, 'finished'), { code: 'ROTATION_STEP', remedy: /--switch/ })
  await step(place, 'distributed')
  t.same(await stepsOf(place), ['introduced', 'distributed'], 'said again a step changes nothing')
  await step(place, 'signing', 'finished')
  await step(place, 'finished')
  t.equal((await stepsOf(place)).length, 4, 'also when it is over')
})

t.test('a domain that only the successor may speak for works from the first step on', async (t) => {
  const place = await caIn(t.testdir())
  await openCa(place)
  const grown = await begin(place, [...domains, 'new.example'])
  const [from = '', to = ''] = idsOf(grown)
  t.equal(await signerOf(grown), from)
  t.equal(await signerOf(grown, 'api.new.example'), to)
  await t.rejects(signerOf(grown, 'api.other.example'), { code: 'name-outside-constraints' })
})

t.test('a successor that is outgrown itself gives way to another', async (t) => {
  for (const [steps, given] of [
    [['distributed'], 'aborted'],
    [['distributed', 'signing'], 'finished'],
  ] as const) {
    const place = await caIn(join(t.testdir(), given))
    await openCa(place)
    const [, first = ''] = idsOf(await begin(place))
    await step(place, ...steps)
    t.equal(idsOf(await begin(place)).includes(first), true, 'one that fits stays')
    const { rotation } = await begin(place, ['wider.example'])
    t.same(permittedDomainsOf(rotation?.to.certificatePem ?? ''), ['wider.example'])
    t.same(await stepsOf(place), ['introduced', ...steps, given, 'introduced'])
  }
})

t.test('the history, the certificates and the keys must be of one CA', async (t) => {
  const fresh = join(t.testdir(), 'fresh')
  const first = await caIn(fresh)
  await openCa(first)
  await begin(first)
  let copies = 0
  const damaged = async (damage: (base: string) => void) => {
    const base = `${fresh}-${++copies}`
    cpSync(fresh, base, { recursive: true })
    damage(base)
    return caIn(base)
  }
  const missing = { code: 'CA_INCOMPLETE' }
  for (const file of ['keys/ca.sealed', 'keys/ca.next.sealed', 'ca/ca.crt']) {
    const place = await damaged((base) => rmSync(join(base, file)))
    await t.rejects(openCa(place), missing, file)
    t.not((await checkFaults(place)).length, 0, `${file}: fsck finds it`)
  }
  const cut = await damaged((base) => {
    const file = join(base, 'ca', 'ca.crt')
    writeFileSync(file, [...certificateBlocks(readFileSync(file, 'utf8'))][0] ?? '')
  })
  await t.rejects(openCa(cut), missing, 'one certificate of two')
  t.not((await checkFaults(cut)).length, 0)
  const history = (change: (text: string) => string) =>
    damaged((base) => {
      const file = join(base, 'keys', 'ca-history.json')
      writeFileSync(file, change(readFileSync(file, 'utf8')))
    })
  for (const change of [
    (text: string) => text.replace('"introduced"', '"signing"'),
    (text: string) => text.replaceAll(/"note": "[^"]*"/g, '"note": "none"'),
    (text: string) => text.slice(0, -3),
    () => '{}',
  ]) {
    await t.rejects(openCa(await history(change)), { code: 'CA_HISTORY_DAMAGED' })
  }
  t.same(await checkFaults(first), [], 'and what is whole is found whole')
})

const checkFaults = (place: AuthorityPlace) =>
  checkAuthority({ keysDirectory: place.dir, caCertificate: place.certificateFile }, place.vault)

t.test('a step stays to be told until its record is in the log', async (t) => {
  const place = await caIn(t.testdir())
  await openCa(place)
  const { untold } = await begin(place)
  t.match(untold, [{ step: 'introduced', pending: true }])
  await stepRecorded(place, untold[0]?.id ?? '')
  t.same((await openCa(place)).untold, [])
  t.equal((await stepsOf(place)).length, 1)
})

/** Runs it in a process that dies before its Nth change; false once it got through. */
function diesAt(at: number, what: string, base: string): boolean {
  const [preload, script] = ['./vault-crash-preload.mjs', './authority-crasher.ts'].map((file) =>
    fileURLToPath(new URL(file, import.meta.url)),
  )
  const args = ['--import', preload ?? '', script ?? '', String(at), what, base]
  const { signal, status, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...compiledCode, PATH: process.env.PATH },
  })
  if (signal === 'SIGKILL') return true
  if (status !== 0) throw new Error(stderr)
  return false
}

for (const [what, prepared, taken] of [
  ['begin', [], ['introduced']],
  ['begin-again', ['distributed'], ['introduced', 'distributed', 'aborted', 'introduced']],
  ['switch', ['distributed'], ['introduced', 'distributed', 'signing']],
  ['finish', ['distributed', 'signing'], ['introduced', 'distributed', 'signing', 'finished']],
  ['abort', ['distributed', 'signing'], ['introduced', 'distributed', 'signing', 'aborted']],
] as const) {
  t.test(
    `${what}: after a crash at any instant the next start is whole, and the command goes on`,
    async (t) => {
      const fresh = join(t.testdir(), 'fresh')
      const first = await caIn(fresh)
      await openCa(first)
      if (what !== 'begin') {
        await begin(first)
        await step(first, ...prepared)
      }
      let at = 1
      for (; ; at++) {
        const base = `${fresh}-${at}`
        cpSync(fresh, base, { recursive: true })
        const died = diesAt(at, what, base)
        const place = await caIn(base)
        const found = await openCa(place)
        t.same(published(place), idsOf(found), `instant ${at}: what signs is published`)
        t.ok((await signerOf(found, found.rotation ? undefined : nameFor(found))).length > 0)
        t.same(await checkFaults(place), [], `instant ${at}: whole`)
        t.equal(existsSync(join(place.dir, 'ca.next.sealed')), found.rotation !== undefined)
        if (!died) break
        await TURNS[what](place)
        t.same(await stepsOf(place), taken, 'the same command goes on')
      }
      t.same(await stepsOf(await caIn(`${fresh}-${at}`)), taken)
      t.ok(at > 4, `${at - 1} instants`)
    },
  )
}

/** A name that the one CA may speak for. */
function nameFor({ inOrder }: Authorities): string {
  const permitted = permittedDomainsOf(inOrder[0]?.certificatePem ?? '')
  return `api.${permitted[0]}`
}

t.test('a CA that was being made when the machine died is made whole by hand only', async (t) => {
  const base = join(t.testdir(), 'ca')
  for (let at = 1; diesAt(at, 'first', `${base}-${at}`); at++) {
    const place = await caIn(`${base}-${at}`)
    const found = await openCa(place).catch((error: Error) => error)
    if (found instanceof Error) t.match(found, { code: 'CA_INCOMPLETE' })
    else t.ok(new X509Certificate(readFileSync(place.certificateFile, 'utf8')).ca)
  }
})
