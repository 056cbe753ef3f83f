/**
 * In which order test files run, and which of them with another one beside them. A laboratory has namespaces of its
 * own and shares nothing with another but the processors, and waits for most of its time: two go together. Those that
 * hold the product to milliseconds, or load both processors themselves, run alone after the others
 * (docs/decisions/059-two-laboratories.md).
 */

/** Each with what a neighbour would spoil. */
export const ALONE: ReadonlyMap<string, string> = new Map([
  ['test/system/attribution.test.ts', 'the share of a processor that looking takes'],
  [
    'test/system/attribution-records.test.ts',
    'a caller is named only as long as it lives, and curl is quick',
  ],
  ['test/system/bypass-tampering.test.ts', 'each flush of the rules is undone within a second'],
  ['test/system/enforcement-stress.test.ts', 'its agents take both processors'],
  ['test/system/firewall.test.ts', 'rules of thousands of addresses are applied within a bound'],
  ['test/system/guard.test.ts', 'each tampering is undone within a second'],
  ['test/system/proxy-volume.test.ts', 'ten thousand agents at once'],
  ['test/system/sensor.test.ts', 'a leak is told within a second'],
])

/** Each takes most of a minute: what begins last leaves a processor idle for that long. */
export const LONGEST: readonly string[] = [
  'test/fresh-machine/lifecycle-bookworm.test.ts',
  'test/fresh-machine/lifecycle-trixie.test.ts',
  'test/system/anchoring.test.ts',
  'test/system/verify-damage.test.ts',
  'test/system/bypass-install.test.ts',
  'test/system/bypass-dying.test.ts',
  'test/system/bypass-names.test.ts',
  'test/system/install.test.ts',
  'test/system/ca-rotation.test.ts',
  'test/unit/ledger-faults.test.ts',
  'test/unit/ledger-kills.test.ts',
]

interface Turn {
  readonly files: readonly string[]
  /** Files at once. */
  readonly jobs: number
}

/** The files in the turns that they run in: those that may have company, then those alone. */
export function turnsOf(files: readonly string[], jobs: number): Turn[] {
  const rank = (file: string) => (LONGEST.includes(file) ? LONGEST.indexOf(file) : LONGEST.length)
  const together = files.filter((file) => !ALONE.has(file)).sort((a, b) => rank(a) - rank(b))
  const alone = files.filter((file) => ALONE.has(file))
  return [
    { files: together, jobs },
    { files: alone, jobs: 1 },
  ].filter((turn) => turn.files.length > 0)
}
