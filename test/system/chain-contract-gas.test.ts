import t from 'tap'
import { CONSISTENT, contractRig, HEAD, HISTORY } from './contract-rig.ts'
import { consistency, root } from './naive-tree.ts'

/**
 * What the cheapest ways to keep a root took where they were measured before this contract was written: a head and its
 * size in two slots, a slot for each size, and a consistency proof checked on chain.
 */
const REFERENCE = {
  'HEAD, first': 69_300,
  'HEAD, next': 35_100,
  'CONSISTENT, first': 70_000,
  'CONSISTENT, next, 9 hashes': 48_000,
  'CONSISTENT, next, 15 hashes': 56_000,
  'HISTORY, first': 68_900,
  'HISTORY, next': 51_800,
}
const MOST = 1.05

t.test('an anchor takes no more gas than the reference and a twentieth', async (t) => {
  const { gateway, run, register } = await contractRig(t)
  /** Gas of the first anchor and of the next, with as many hashes of proof as the sizes ask for. */
  const anchors = async (policy: number, first: number, next: number, hashes: number) => {
    const key = await register(`${policy} ${first}`, policy)
    const proof = policy === CONSISTENT ? consistency(first, next) : []
    t.equal(proof.length, hashes)
    return [
      (await run(gateway, 'anchor', key, first, root(0, first), [])).gas,
      (await run(gateway, 'anchor', key, next, root(0, next), proof)).gas,
    ] as const
  }
  const [headFirst, headNext] = await anchors(HEAD, 100, 1000, 0)
  const [consistentFirst, short] = await anchors(CONSISTENT, 100, 1000, 9)
  const [, long] = await anchors(CONSISTENT, 1023, 2 ** 14 - 1, 15)
  const [historyFirst, historyNext] = await anchors(HISTORY, 100, 1000, 0)
  const measured: Record<keyof typeof REFERENCE, number> = {
    'HEAD, first': headFirst,
    'HEAD, next': headNext,
    'CONSISTENT, first': consistentFirst,
    'CONSISTENT, next, 9 hashes': short,
    'CONSISTENT, next, 15 hashes': long,
    'HISTORY, first': historyFirst,
    'HISTORY, next': historyNext,
  }
  t.comment('gas of an anchor              measured  reference  ratio')
  for (const [name, reference] of Object.entries(REFERENCE)) {
    const gas = measured[name as keyof typeof REFERENCE]
    const ratio = gas / reference
    const row = [name.padEnd(28), gas, String(reference).padStart(9), ratio.toFixed(3)].join('  ')
    t.comment(row)
    t.ok(ratio <= MOST, row)
  }
})
