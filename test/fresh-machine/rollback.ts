/** An install that fails, or is interrupted, leaves the machine as it was: without a gateway, or with the one before. */
import { cpSync } from 'node:fs'
import t, { type Test } from 'tap'
import { FAILURES, type Failure, INTERRUPTIONS } from './failures.ts'
import { type FreshDebian, said } from './fresh-debian.ts'
import { differences, type MachineState, stateOf } from './machine-state.ts'
import type { Probes } from './probes.ts'
import type { Sources } from './sources.ts'

const INTERRUPT = '/var/tmp/interrupt.py'
/** Before there is a Node that could name its steps. */
const inShell = ({ step }: { readonly step: string }): boolean => ['packages', 'staging'].includes(step)

async function fails(
  t: Test,
  { asRoot }: FreshDebian,
  { step, make, mend, says }: Failure,
  install: string,
): Promise<void> {
  const made = await asRoot('sh', '-c', make)
  t.equal(made.code, 0, said(made))
  const outcome = await asRoot(install)
  const mended = await asRoot('sh', '-c', mend)
  t.equal(mended.code, 0, said(mended))
  t.equal(outcome.code, 1, said(outcome))
  t.match(outcome.stderr, says, 'it says why')
  if (!inShell({ step })) t.match(outcome.stderr, `the step "${step}"`, 'it says where')
  t.notMatch(outcome.stderr, /FAILED/, 'everything could be taken back')
}

/** Of a machine without a gateway. */
export function firstInstallsRollBack(fresh: FreshDebian, sources: Sources): void {
  const { machine, asRoot, inMachine } = fresh
  let before: MachineState
  let install = sources.install
  t.test('the machine has no gateway', async () => {
    before = await stateOf(machine)
    cpSync(`${import.meta.dirname}/interrupt.py`, inMachine(INTERRUPT))
  })
  const unchanged = async (t: Test) => t.same(differences(before, await stateOf(machine)), [], 'as before')

  const failing = (failure: Failure) =>
    t.test(
      `a first install whose step "${failure.step}" fails leaves nothing: ${failure.cause}`,
      async (t) => {
        await fails(t, fresh, failure, install)
        await unchanged(t)
      },
    )
  const interrupted = ({ step, path }: (typeof INTERRUPTIONS)[number]) =>
    t.test(`a first install interrupted in its step "${step}" leaves nothing`, async (t) => {
      const outcome = await asRoot('python3', INTERRUPT, path, install)
      t.not(outcome.code, 0, said(outcome))
      t.notMatch(outcome.stderr, /FAILED/, 'everything could be taken back')
      await unchanged(t)
    })

  for (const failure of FAILURES.filter(inShell)) failing(failure)
  for (const each of INTERRUPTIONS.filter(inShell)) interrupted(each)
  // The other steps don't care how the program came there: it is staged once, as somebody may who unpacks it himself.
  t.test('the program lies where an install would put it', async () => {
    install = await sources.inPlace()
    before = await stateOf(machine)
  })
  for (const failure of FAILURES.filter((each) => !inShell(each))) failing(failure)
  for (const each of INTERRUPTIONS.filter((one) => !inShell(one))) interrupted(each)
  t.test('and goes again', async (t) => {
    t.equal((await asRoot('rm', '-r', '/opt/agent-anchor')).code, 0)
  })
}

/** What stays with the gateway of before as it runs on. */
const RUNS_ON = /^[-+~] (\/var\/(lib|log)\/agent-anchor|setting |rules)/

/**
 * Of a machine whose gateway runs.
 * @param options.broken an upgrade whose daemon can't start
 */
export function upgradesRollBack(
  fresh: FreshDebian,
  { captures }: Probes,
  { install, broken }: { readonly install: string; readonly broken: string },
): void {
  const { machine, asRoot, inMachine, gateway, show } = fresh
  let before: MachineState
  t.test('the machine has a gateway', async (t) => {
    before = await stateOf(machine)
    cpSync(`${import.meta.dirname}/interrupt.py`, inMachine(INTERRUPT))
    await captures(t, 'before upgrades that fail')
  })
  const asBefore = async (t: Test, when: string) => {
    const changed = differences(before, await stateOf(machine)).filter((line) => !RUNS_ON.test(line))
    t.same(changed, [], 'program, configuration, trust and units are as before')
    t.equal((await show('agent-anchor.service')).ActiveState, 'active', 'the gateway of before runs')
    await captures(t, when)
    t.equal((await gateway('verify')).code, 0, 'its log holds')
  }

  const failure = (step: string) => FAILURES.find((each) => each.step === step)!
  for (const step of ['packages', 'keys']) {
    t.test(`an upgrade whose step "${step}" fails leaves the gateway of before, which goes on`, async (t) => {
      const { MainPID } = await show('agent-anchor.service')
      await fails(t, fresh, whileInstalled(failure(step)), install)
      t.equal((await show('agent-anchor.service')).MainPID, MainPID, 'it was not restarted')
      await asBefore(t, `after ${step} failed`)
    })
  }
  t.test('an upgrade whose proof fails is swapped back, and the gateway of before runs again', async (t) => {
    await fails(t, fresh, failure('proof'), install)
    await asBefore(t, 'after the proof failed')
  })
  t.test('an upgrade whose daemon can not start is swapped back', async (t) => {
    const outcome = await asRoot(broken)
    t.equal(outcome.code, 1, said(outcome))
    t.match(outcome.stderr, /the step "service"/)
    await asBefore(t, 'after a broken upgrade')
  })
  t.test('an upgrade interrupted as its tree stands is swapped back', async (t) => {
    const outcome = await asRoot('python3', INTERRUPT, '/opt/agent-anchor.old', install)
    t.not(outcome.code, 0, said(outcome))
    await asBefore(t, 'after an interruption')
  })
}

/** The administrator's directory is there already, and stays. */
const whileInstalled = (failure: Failure): Failure => ({
  ...failure,
  mend: failure.mend.replace('; rmdir /etc/agent-anchor', ''),
})
