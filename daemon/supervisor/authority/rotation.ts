/**
 * A new CA in the place of one, with an overlap in which clients trust both. Each step is one durable write of the
 * history, after what it needs is there and before what follows from it is done, so that after a crash at any instant
 * the next start or the next command goes on (store.ts). At each step both keys are there, and both sign it.
 *
 *   introduced    the successor's key is sealed, its certificate published behind the current one
 *   distributed   every trust store has it: the overlap runs, in which clients start anew and learn it
 *   signing       leaves are the successor's; the former one is trusted, so that there is a way back
 *   finished      the former key is destroyed; its certificate leaves the stores
 *   aborted       the same of the successor
 *
 * Threat model: the machine trusts the successor from the moment it stands in a store: so it is in the history, and
 * therefore on its way into the log, before.
 */
import { randomUUIDv7 } from 'node:crypto'
import { createAuthority, type PermittedDomains } from '../../../ca/authority.ts'
import { sealTo } from '../../vault/sealed-file.ts'
import { SupervisorError } from '../supervisor-error.ts'
import { readSteps, type Step, writeSteps } from './history.ts'
import { misfit, needsRenewal } from './misfit.ts'
import { fingerprintOf, rotationNote } from './note.ts'
import {
  type Authorities,
  type AuthorityPlace,
  CA_PURPOSE,
  publish,
  type Rotation,
  readAuthorities,
  sealedSuccessorKey,
  withAuthorities,
} from './store.ts'

interface Wish {
  readonly permittedDomains: PermittedDomains
  readonly now: Date
}

/**
 * Sees to it that there is a CA, or a successor on its way, that fits. One on its way that doesn't fit either gives way.
 * @param always make a successor also for a CA that fits, unless one is on its way
 * @throws SupervisorError CA_INCOMPLETE
 */
export const renewAuthority = (
  place: AuthorityPlace,
  wish: Wish,
  { always }: { readonly always: boolean },
): Promise<Authorities> =>
  withAuthorities(place, async () => {
    const found = await open(place)
    const fits = !needsRenewal(misfit(found, wish.permittedDomains, wish.now))
    const { rotation } = found
    if (fits && (rotation !== undefined || !always)) return found
    // Who knows the former one only was lost at the last step already: nothing more is when it goes.
    const alone =
      rotation === undefined
        ? found
        : await take(place, rotation, rotation.step === 'signing' ? 'finished' : 'aborted', wish.now)
    return introduce(place, alone, wish)
  })

async function introduce(place: AuthorityPlace, { inOrder }: Authorities, wish: Wish): Promise<Authorities> {
  const from = inOrder[0]
  if (from === undefined) throw noRotation('introduced')
  const to = await createAuthority(wish)
  await sealTo(place.vault, sealedSuccessorKey(place), CA_PURPOSE, Buffer.from(to.privateKeyPem), {
    replace: true,
  })
  await publish(place, [from, to])
  return take(place, { from, to }, 'introduced', wish.now)
}

/** What may follow what. */
const AFTER: Readonly<Record<Exclude<Step, 'introduced'>, readonly Step[]>> = {
  distributed: ['introduced'],
  signing: ['distributed'],
  finished: ['signing'],
  aborted: ['introduced', 'distributed', 'signing'],
}

/**
 * Takes the next step of the rotation under way; one that was taken already changes nothing.
 * @throws SupervisorError NO_ROTATION where none is under way, ROTATION_STEP where another step comes first
 */
export const takeStep = (
  place: AuthorityPlace,
  step: Exclude<Step, 'introduced'>,
  now: Date,
): Promise<Authorities> =>
  withAuthorities(place, async () => {
    const found = await open(place)
    const { rotation } = found
    if (rotation === undefined) {
      const last = (await readSteps(place.dir)).at(-1)
      if (last?.step === step) return found
      throw noRotation(step)
    }
    if (rotation.step === step) return found
    if (!AFTER[step].includes(rotation.step)) throw outOfTurn(step, rotation.step)
    return take(place, rotation, step, now)
  })

async function take(
  place: AuthorityPlace,
  { from, to }: Pick<Rotation, 'from' | 'to'>,
  step: Step,
  now: Date,
): Promise<Authorities> {
  const told = {
    step,
    from: fingerprintOf(from.certificatePem),
    to: fingerprintOf(to.certificatePem),
    time: now.toISOString(),
  }
  const note = rotationNote({ ...told, origin: place.origin }, { from, to })
  const steps = await readSteps(place.dir)
  await writeSteps(place.dir, [...steps, { id: randomUUIDv7(), ...told, note, pending: true }])
  return open(place)
}

/** The record of a step is in the log. */
export const stepRecorded = (place: AuthorityPlace, id: string): Promise<void> =>
  withAuthorities(place, async () => {
    const steps = await readSteps(place.dir)
    if (!steps.some((each) => each.id === id && each.pending)) return
    await writeSteps(
      place.dir,
      steps.map(({ pending, ...rest }) => (rest.id === id || !pending ? rest : { ...rest, pending })),
    )
  })

async function open(place: AuthorityPlace): Promise<Authorities> {
  const found = await readAuthorities(place)
  if (found !== undefined) return found
  throw new SupervisorError(
    'CA_INCOMPLETE',
    `there is no CA in ${place.dir} yet`,
    'Run installers/install.sh, or start the gateway: it makes one.',
  )
}

const noRotation = (step: Step): SupervisorError =>
  new SupervisorError(
    'NO_ROTATION',
    `no rotation of the CA is under way: there is no step "${step}" to take`,
    'To begin one: agent-anchor trust rotate.',
  )

const REMEDIES: Readonly<Record<Rotation['step'], string>> = {
  introduced: 'Let it reach the trust stores first: agent-anchor trust rotate.',
  distributed: 'Have the successor sign first: agent-anchor trust rotate --switch.',
  signing: 'It signs already: agent-anchor trust rotate --finish, or --abort.',
}

const outOfTurn = (step: Step, at: Rotation['step']): SupervisorError =>
  new SupervisorError(
    'ROTATION_STEP',
    `the CA's rotation stands at "${at}": "${step}" can't come next`,
    REMEDIES[at],
  )
