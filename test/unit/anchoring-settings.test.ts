/** Presets, knobs, and the settings that can't all hold. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { contradictions, countedChains, type Surroundings } from '../../daemon/anchoring/contradictions.ts'
import { type AnchoringConfig, anchoringOf } from '../../daemon/anchoring/settings.ts'
import { loadConfig } from '../../daemon/config/config.ts'
import { scratch } from './scratch.ts'

const directory = scratch()

/** What is wrong with a file of these lines; empty where it is taken. */
function refusal(yaml: string): string {
  const file = join(directory, 'gateway.yaml')
  writeFileSync(file, yaml)
  try {
    loadConfig(file)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

const development = { name: 'development', kind: 'development' } as const
const rpc = (name: string) => ({ name, kind: 'rpc' }) as const
const around = (over: Partial<Surroundings> = {}): Surroundings => ({
  chains: [rpc('base'), rpc('ethereum')],
  witnesses: 0,
  durability: 'before-forward',
  ...over,
})
const wrong = (config: Partial<AnchoringConfig>, over?: Partial<Surroundings>) =>
  contradictions({ preset: 'bounded', ...config }, around(over))

t.test('each preset agrees with itself, on the development chain too', async (t) => {
  for (const preset of ['strict', 'bounded', 'eventual'] as const) {
    t.strictSame(wrong({ preset }), [], preset)
    t.strictSame(wrong({ preset }, { chains: [development] }), [], `${preset}, development chain`)
  }
})

t.test('bounded is what it always was: nothing held, an anchor a minute or a thousand records', async (t) => {
  t.match(anchoringOf({ preset: 'bounded' }), {
    acknowledge: 'local',
    maxDelayMs: 60_000,
    maxLeaves: 1000,
    onFailure: 'queue',
  })
})

t.test('a knob takes the place of its preset’s, and the others stay', async (t) => {
  const strict = anchoringOf({ preset: 'strict', onFailure: 'queue' })
  t.match(strict, { acknowledge: 'included', maxLeaves: 1, onFailure: 'queue', quorum: 'all' })
  t.equal(anchoringOf({ preset: 'bounded', acknowledge: 'checkpointed' }).acknowledge, 'checkpointed')
})

t.test('agents are held for longer where finality takes longer', async (t) => {
  const included = anchoringOf({ preset: 'strict' })
  const final = anchoringOf({ preset: 'strict', acknowledge: 'finalized' })
  t.ok(final.maxHoldMs > 13 * 60_000, 'Ethereum is final after 13 min')
  t.ok(final.maxHoldMs > included.maxHoldMs)
  t.ok(final.maxLagMs >= final.maxHoldMs, 'waiting as configured is no degradation')
})

t.test('the objective follows a delay that was set longer', async (t) => {
  t.ok(anchoringOf({ preset: 'bounded', maxDelayMs: 3_600_000 }).maxLagMs > 3_600_000)
})

t.test('refuses a level that nothing configured can reach, and says what to do', async (t) => {
  t.match(wrong({ acknowledge: 'witnessed' }), [{ key: 'acknowledge', message: /ledger\.witnesses/ }])
  t.strictSame(wrong({ acknowledge: 'witnessed' }, { witnesses: 1 }), [])
  t.match(wrong({ acknowledge: 'safe' }, { chains: [development] }), [
    { key: 'acknowledge', message: /never reached.*included/ },
  ])
})

t.test('refuses a quorum of more chains than count', async (t) => {
  t.match(wrong({ quorum: 3 }), [{ key: 'quorum', message: /add chains or lower/ }])
  const chains = [development, rpc('base')]
  t.match(wrong({ quorum: 2 }, { chains }), [{ key: 'quorum', message: /no independent evidence/ }])
  t.strictSame(countedChains(chains), [rpc('base')])
  t.strictSame(countedChains([development]), [development])
})

t.test('refuses to hold answers for requests that may be lost', async (t) => {
  t.match(wrong({ preset: 'strict' }, { durability: 'async' }), [{ message: /before-forward/ }])
})

t.test('refuses anchors that come later than answers can be held', async (t) => {
  t.match(wrong({ acknowledge: 'included', maxDelayMs: 120_000 }), [
    { key: 'maxDelayMs', message: /maxLeaves: 1/ },
  ])
  t.strictSame(wrong({ acknowledge: 'included', maxDelayMs: 120_000, maxLeaves: 1 }), [])
})

t.test('refuses a time to hold where nothing is held, and lags that no success could keep', async (t) => {
  t.match(wrong({ maxHoldMs: 5000 }), [{ key: 'maxHoldMs' }])
  t.match(wrong({ onFailure: { blockAfterMs: 60_000 } }), [{ key: 'onFailure', message: /must be more/ }])
  t.match(wrong({ maxLagMs: 60_000 }), [{ key: 'maxLagMs', message: /must be more/ }])
})

t.test('a file that contradicts itself is refused at the key that is best changed', async (t) => {
  t.match(refusal('anchoring:\n  preset: strict\n  quorum: 2\n'), /:3:11:.*can’t agree|:3:11:.*can't agree/)
  t.match(refusal('anchoring: {acknowledge: witnessed}\n'), /witnessed.*ledger\.witnesses/)
  t.match(refusal('anchoring: {onFailure: never}\n'), /queue.*block.*blockAfterMs/)
  t.match(refusal('anchoring: {preset: strickt}\n'), /preset/)
  t.equal(refusal('anchoring: {preset: strict, onFailure: {blockAfterMs: 90000}}\n'), '')
})
