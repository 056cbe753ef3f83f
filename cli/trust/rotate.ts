/** `agent-anchor trust rotate`: a step of the CA's rotation, carried into the trust stores, the gateway and the log. */
import type { TrustStore } from '../../ca/trust-stores/trust-store.ts'
import { askToReload } from '../../daemon/supervisor/ask-to-reload.ts'
import { readSteps } from '../../daemon/supervisor/authority/history.ts'
import { governedDomains } from '../../daemon/supervisor/authority/misfit.ts'
import { renewAuthority, takeStep } from '../../daemon/supervisor/authority/rotation.ts'
import type { Authorities, AuthorityPlace } from '../../daemon/supervisor/authority/store.ts'
import { authorityPlace } from '../../daemon/supervisor/identity.ts'
import { loadRules } from '../../daemon/supervisor/rules.ts'
import { outcomeLines, type TrustOutcome, trustEverywhere } from '../../installers/trust-everywhere.ts'
import type { KeysPlace } from '../keys/place.ts'

/** `begin` goes on with one that is under way. */
export type Turn = 'begin' | 'switch' | 'finish' | 'abort'

export interface Rotated {
  readonly step: 'distributed' | 'signing' | 'finished' | 'aborted'
  /** SHA-256 of the certificate that goes, and of the one that comes. */
  readonly from: string
  readonly to: string
  readonly stores: readonly string[]
  /** What of a store could not be written, with its remedy. The operating system's own ends the command instead. */
  readonly failed: readonly string[]
  /** RFC 3339: when the gateway has the successor sign by itself; absent where that is past. */
  readonly signsFrom?: string
  /** `recorded`: in force, and in the log. `prepared`: no gateway runs; the next start goes on from here. */
  readonly state: 'recorded' | 'prepared' | 'no-answer'
}

const ANSWER_MS = 60_000
const LOOK_MS = 100

/**
 * @param stores those in which the CA stands
 * @throws SupervisorError NO_ROTATION, ROTATION_STEP; CaError where a store can't be written: the same command goes on
 */
export async function rotateAuthority(
  keys: KeysPlace,
  turn: Turn,
  stores: readonly TrustStore[],
): Promise<Rotated> {
  const place = authorityPlace(keys.paths, await keys.vault(), keys.origin)
  const now = () => new Date()
  let failed: TrustOutcome[]
  if (turn === 'begin') {
    const wish = { permittedDomains: governedDomains(loadRules(keys.config)), now: now() }
    const found = await renewAuthority(place, wish, { always: true })
    failed = await carry(found, stores)
    if (found.rotation?.step === 'introduced') await takeStep(place, 'distributed', now())
  } else {
    const step = { switch: 'signing', finish: 'finished', abort: 'aborted' } as const
    failed = await carry(await takeStep(place, step[turn], now()), stores)
  }
  const state = await told(keys, place)
  const last = (await readSteps(place.dir)).at(-1)
  if (last === undefined || last.step === 'introduced') throw new TypeError('a step was not taken')
  const { step, from, to, time } = last
  const due = Date.parse(time) + keys.config.ca.overlap
  return {
    step,
    from,
    to,
    stores: stores.filter((store) => !failed.some((each) => each.store === store)).map(({ name }) => name),
    failed: failed.flatMap(outcomeLines),
    ...(step === 'distributed' ? { signsFrom: new Date(due).toISOString() } : {}),
    state,
  }
}

/** What was interrupted is done again: each store is brought to what is to be trusted now. @returns what failed */
async function carry({ inOrder }: Authorities, stores: readonly TrustStore[]): Promise<TrustOutcome[]> {
  const certificates = inOrder.map(({ certificatePem }) => certificatePem)
  // They are in the manifest already, or not of its making.
  const outcomes = await trustEverywhere(stores, certificates, { add: async () => {} })
  return outcomes.filter(({ result }) => result === 'failed')
}

async function told(keys: KeysPlace, place: AuthorityPlace): Promise<Rotated['state']> {
  if (!(await askToReload(keys.paths.supervisorState))) return 'prepared'
  const until = performance.now() + ANSWER_MS
  while (performance.now() < until) {
    if ((await readSteps(place.dir)).every(({ pending }) => !pending)) return 'recorded'
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
  return 'no-answer'
}

export function rotatedText(rotated: Rotated, certificateFile: string): string {
  const { step, from, to, stores, failed, signsFrom, state } = rotated
  const [gone, come] = [from.slice(0, 16), to.slice(0, 16)]
  const where = [...stores.map((name) => `the ${name} store`), certificateFile].join(', ')
  const byHand =
    stores.length === 0 && failed.length === 0
      ? ['  No trust store of this machine holds the CA: put it where your programs look for it yourself.']
      : []
  return [
    ...{
      distributed: [
        `The CA ${gone}… has a successor: ${come}…`,
        `  Both stand in ${where}.`,
        `  The successor signs from ${signsFrom} on (ca.overlap); at once with: agent-anchor trust rotate --switch`,
        '  Programs that read their roots when they start must be started anew before that: agent-anchor doctor names them.',
      ],
      signing: [
        `The CA ${come}… signs. ${gone}… is still trusted.`,
        '  When nobody refuses it (agent-anchor doctor): agent-anchor trust rotate --finish. To go back: --abort',
      ],
      finished: [
        `The CA is ${come}….`,
        `  The key of ${gone}… is destroyed, and it is no longer in ${where}.`,
      ],
      aborted: [
        `The CA is ${gone}…, as before.`,
        `  The key of ${come}… is destroyed, and it is no longer in ${where}.`,
      ],
    }[step],
    ...byHand,
    ...failed.map((line) => `  ${line}`),
    `  ${SAID[state]}`,
  ].join('\n')
}

const SAID: Readonly<Record<Rotated['state'], string>> = {
  recorded: 'In force; the record that both keys signed is in the log.',
  prepared: 'No gateway runs: the next start goes on from here.',
  'no-answer': 'The gateway did not take it up: see agent-anchor status, and its log.',
}
